//! What goes into a statement and what comes out of its rows.

use std::fmt;

use tokio_postgres::Row;
use tokio_postgres::row::RowIndex;
use tokio_postgres::types::{FromSql, ToSql, Type};

use crate::error::{Error, Kind};

/// A parameter and its type.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// The row of an answer that has one.
pub(crate) fn one(rows: Vec<Row>) -> Result<Row, Error> {
    rows.into_iter()
        .next()
        .ok_or_else(|| Error::new(Kind::Unexpected("no row".to_owned())))
}

/// One column, by its name or its place.
pub(crate) fn column<'a, T: FromSql<'a>>(
    row: &'a Row,
    index: impl RowIndex + fmt::Display,
) -> Result<T, Error> {
    row.try_get(index)
        .map_err(|error| Error::session("reading an answer", error))
}
