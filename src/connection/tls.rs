//! TLS, as far as `sslmode` asks for it.

use tokio::net::TcpStream;
use tokio_postgres::{Client, Config as PgConfig, NoTls};

use super::conninfo::{Conninfo, Trust};
use super::startup::start;
use super::wire::Messages;
use crate::error::{Error, Kind};

/// What to offer a server.
pub(crate) struct Tls {
    #[cfg(feature = "tls")]
    connector: Option<tokio_postgres_rustls::MakeRustlsConnect>,
}

#[cfg(not(feature = "tls"))]
impl Tls {
    pub(crate) fn new(conninfo: &Conninfo) -> Result<Self, Error> {
        let named = conninfo.root_certificates.is_some() || conninfo.certificate.is_some();
        if conninfo.trust >= Trust::Require || named {
            return Err(Error::new(Kind::Conninfo(
                "sslmode or a certificate asks for TLS, and pg-leader was built without it: enable its feature `tls`"
                    .to_owned(),
            )));
        }
        Ok(Tls {})
    }

    pub(crate) async fn start(
        &self,
        postgres: &PgConfig,
        stream: TcpStream,
        _name: &str,
    ) -> Result<(Client, Messages), Error> {
        start(postgres, stream, NoTls).await
    }
}

#[cfg(feature = "tls")]
mod with_rustls {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
    use rustls::{
        CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    };
    use tokio_postgres::tls::MakeTlsConnect;
    use tokio_postgres_rustls::MakeRustlsConnect;

    use super::{
        Client, Conninfo, Error, Kind, Messages, NoTls, PgConfig, TcpStream, Tls, Trust, start,
    };

    impl Tls {
        pub(crate) fn new(conninfo: &Conninfo) -> Result<Self, Error> {
            if conninfo.trust == Trust::Disable {
                return Ok(Tls { connector: None });
            }
            let provider = Arc::new(ring::default_provider());
            let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(|error| Error::caused(Kind::Conninfo("TLS".to_owned()), error))?;
            let config = match conninfo.trust {
                Trust::VerifyFull => builder.with_root_certificates(roots(conninfo)?),
                trust => {
                    let chain = match trust {
                        Trust::VerifyCa => {
                            let roots = Arc::new(roots(conninfo)?);
                            let chain = WebPkiServerVerifier::builder_with_provider(
                                roots,
                                Arc::clone(&provider),
                            )
                            .build()
                            .map_err(|error| {
                                Error::caused(Kind::Conninfo("TLS".to_owned()), error)
                            })?;
                            Some(chain)
                        }
                        _ => None,
                    };
                    let verifier = Lenient { provider, chain };
                    builder
                        .dangerous()
                        .with_custom_certificate_verifier(Arc::new(verifier))
                }
            };
            let config = match &conninfo.certificate {
                Some(files) => {
                    let (chain, key) = own(files)?;
                    config.with_client_auth_cert(chain, key).map_err(|error| {
                        let [certificate, key] = files.each_ref().map(|file| file.display());
                        let what = format!(
                            "sslkey={key} is not the key of sslcert={certificate}, or of a kind that is not known here"
                        );
                        Error::caused(Kind::Conninfo(what), error)
                    })?
                }
                None => config.with_no_client_auth(),
            };
            let connector = Some(MakeRustlsConnect::new(config));
            Ok(Tls { connector })
        }

        pub(crate) async fn start(
            &self,
            postgres: &PgConfig,
            stream: TcpStream,
            name: &str,
        ) -> Result<(Client, Messages), Error> {
            let Some(connector) = &self.connector else {
                return start(postgres, stream, NoTls).await;
            };
            let mut connector = connector.clone();
            let connector = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut connector, name)
                .map_err(|error| {
                    Error::caused(
                        Kind::Conninfo(format!("\"{name}\" is no name for TLS")),
                        error,
                    )
                })?;
            start(postgres, stream, connector).await
        }
    }

    type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

    /// This client's certificate, with those between it and its root, and its key: PKCS#8, PKCS#1 or SEC1.
    fn own([certificate, key]: &[PathBuf; 2]) -> Result<Own, Error> {
        let unreadable = |name: &str, file: &Path, error| {
            let what = format!(
                "{name}={} cannot be read as PEM that is not encrypted",
                file.display()
            );
            Error::caused(Kind::Conninfo(what), error)
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable("sslcert", certificate, error))?;
        for_its_owner_alone(key)?;
        let key =
            PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("sslkey", key, error))?;
        Ok((chain, key))
    }

    /// As libpq has it: whoever owns the file, or root, whose group may read it.
    fn for_its_owner_alone(key: &Path) -> Result<(), Error> {
        use std::os::unix::fs::MetadataExt;
        let name = key.display();
        let metadata = std::fs::metadata(key).map_err(|error| {
            Error::caused(
                Kind::Conninfo(format!("sslkey={name} cannot be read")),
                error,
            )
        })?;
        let others = if metadata.uid() == 0 { 0o037 } else { 0o077 };
        if metadata.mode() & others == 0 {
            return Ok(());
        }
        let what = format!("sslkey={name} may be read by others: chmod 600 {name}");
        Err(Error::new(Kind::Conninfo(what)))
    }

    fn roots(conninfo: &Conninfo) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        match &conninfo.root_certificates {
            Some(file) => {
                let unreadable = |error| {
                    Error::caused(
                        Kind::Conninfo(format!("sslrootcert={file} cannot be read")),
                        error,
                    )
                };
                for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
                    roots
                        .add(certificate.map_err(unreadable)?)
                        .map_err(|error| {
                            Error::caused(Kind::Conninfo(format!("sslrootcert={file}")), error)
                        })?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(Error::new(Kind::Conninfo(
                "there is no root certificate to verify the server with: give sslrootcert=FILE"
                    .to_owned(),
            )));
        }
        Ok(roots)
    }

    /// Less than full verification, as `sslmode` asks: the chain without the name, or nothing.
    #[derive(Debug)]
    struct Lenient {
        provider: Arc<CryptoProvider>,
        chain: Option<Arc<WebPkiServerVerifier>>,
    }

    impl ServerCertVerifier for Lenient {
        fn verify_server_cert(
            &self,
            certificate: &CertificateDer<'_>,
            intermediates: &[CertificateDer<'_>],
            name: &ServerName<'_>,
            ocsp: &[u8],
            now: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            let Some(chain) = &self.chain else {
                return Ok(ServerCertVerified::assertion());
            };
            match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
                // The name is looked at last, once the chain has been verified.
                Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => Ok(ServerCertVerified::assertion()),
                verdict => verdict,
            }
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider
                .signature_verification_algorithms
                .supported_schemes()
        }
    }
}
