//! Who is not let in, and what mends it: one table for errors, the command and the doctor.

use tokio_postgres::error::SqlState;

use super::options;
use crate::error::{Error, Kind};

/// The codes of pools that pass no startup options on: PgBouncer's, RDS Proxy's, and Neon's, which says so of much else.
const REFUSES_OPTIONS: [SqlState; 3] = [
    SqlState::PROTOCOL_VIOLATION,
    SqlState::FEATURE_NOT_SUPPORTED,
    SqlState::INTERNAL_ERROR,
];

/// Whether it may be served without startup options.
pub(super) fn refuses_options(error: &Error) -> bool {
    let state = error.sql_state();
    REFUSES_OPTIONS
        .iter()
        .any(|code| state == Some(code.code()))
}

/// What an error of a connection's beginning means, by its code. `without_password`: none was given.
pub(super) fn of(error: tokio_postgres::Error, without_password: bool) -> Error {
    let kind = match error.as_db_error() {
        Some(db) => by_code(db.code(), db.message(), without_password),
        None => certificates(&error),
    };
    match kind {
        Some(kind) => Error::caused(kind, error),
        None => Error::session("connecting", error),
    }
}

fn by_code(code: &SqlState, why: &str, without_password: bool) -> Option<Kind> {
    let denied = |remedy| {
        Some(Kind::Denied {
            what: format!("{why} (SQLSTATE {})", code.code()),
            remedy,
        })
    };
    match *code {
        SqlState::PROTOCOL_VIOLATION | SqlState::FEATURE_NOT_SUPPORTED => {
            Some(Kind::Pooler(why.to_owned()))
        }
        SqlState::UNDEFINED_OBJECT if options::names_a_new_setting(why) => {
            Some(Kind::TooOld(format!("too old to know a setting: {why}")))
        }
        SqlState::UNDEFINED_OBJECT => Some(Kind::Conninfo(why.to_owned())),
        SqlState::INVALID_PASSWORD if without_password => Some(Kind::Conninfo(
            "the server asks for a password, and it names none (PGPASSWORD and ~/.pgpass are looked at where \
             the environment is)"
                .to_owned(),
        )),
        SqlState::INVALID_PASSWORD => denied(
            "give the password of that role (in the connection string, PGPASSWORD, ~/.pgpass, or by the hook for \
             credentials)",
        ),
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => denied(
            "make the role with LOGIN where there is none; let it in by a line of the server's pg_hba.conf, which \
             may ask for TLS (sslmode=require) or a certificate (sslcert, sslkey); or give another password or token, \
             where it is PAM, LDAP or the cloud that refuses it",
        ),
        SqlState::INVALID_CATALOG_NAME => {
            denied("name a database that is there (dbname), or make it")
        }
        SqlState::INSUFFICIENT_PRIVILEGE => {
            denied(
                "let the role in: GRANT CONNECT ON DATABASE … TO …, or SET ON PARAMETER where its own options ask for \
                 one",
            )
        }
        _ => None,
    }
}

#[cfg(not(feature = "tls"))]
fn certificates(_error: &tokio_postgres::Error) -> Option<Kind> {
    None
}

/// What TLS refuses, here or there.
#[cfg(feature = "tls")]
fn certificates(error: &tokio_postgres::Error) -> Option<Kind> {
    use rustls::AlertDescription as Alert;
    use rustls::CertificateError as Why;
    use rustls::Error as Tls;

    let refusal = rustls_of(error)?;
    let remedy = match refusal {
        Tls::InvalidCertificate(Why::NotValidForName | Why::NotValidForNameContext { .. }) => {
            "connect by a name that the server's certificate has, or give sslmode=verify-ca where any server of that \
             root will do"
        }
        Tls::InvalidCertificate(
            Why::Expired
            | Why::ExpiredContext { .. }
            | Why::NotValidYet
            | Why::NotValidYetContext { .. },
        ) => "renew the server's certificate, or set this machine's clock",
        Tls::InvalidCertificate(_) => {
            "give sslrootcert=FILE, the certificate of the authority that has signed the server's: a managed service \
             publishes its own"
        }
        Tls::AlertReceived(
            Alert::AccessDenied
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRequired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::DecryptError
            | Alert::UnknownCA
            | Alert::UnsupportedCertificate,
        ) => {
            "the server has ended it: give a certificate (sslcert) that its ssl_ca_file knows and that is valid, with \
             its key (sslkey)"
        }
        _ => return None,
    };
    let what = format!("TLS: {refusal}");
    Some(Kind::Denied { what, remedy })
}

/// TLS hands its errors on within those of the socket.
#[cfg(feature = "tls")]
fn rustls_of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let within = error.downcast_ref::<std::io::Error>();
        next = match within.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
