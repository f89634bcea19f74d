//! The Postgres side: connect and prove, statements, the driver thread.
