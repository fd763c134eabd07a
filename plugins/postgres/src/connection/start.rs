//! The start of a connection: who the user is, and who the server.

use fallible_iterator::FallibleIterator as _;
use larder_plugin::Error;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;

use super::failure::Failure;
use super::messages::{Messages, refused};
use super::stream::Stream;
use crate::settings::{Config, PASSWORD, Security};

/// Connects, and waits until the server takes statements.
pub(super) fn connect(config: &Config) -> Result<Messages, Failure> {
    let stream = Stream::connect(config)?;
    let stream = match &config.security {
        Security::Disable => stream,
        #[cfg(feature = "tls")]
        security => super::tls::secure(stream, &config.host, security)?,
    };
    let mut messages = Messages::new(stream);
    let parameters = [
        ("user", config.user.as_str()),
        ("database", &config.database),
        ("application_name", &config.application_name),
        ("client_encoding", "UTF8"),
    ];
    frontend::startup_message(parameters, &mut messages.out)?;
    messages.send()?;
    authenticate(&mut messages, config)?;
    loop {
        match messages.next()? {
            Message::ReadyForQuery(_) => return Ok(messages),
            // It is for cancelling a statement from another connection.
            Message::BackendKeyData(_) => {}
            Message::ErrorResponse(body) => return Err(refused(&body)),
            _ => return Err(unexpected()),
        }
    }
}

fn authenticate(messages: &mut Messages, config: &Config) -> Result<(), Failure> {
    let mut scram = None;
    let mut has_asked = false;
    loop {
        match messages.next()? {
            // Not before it has proven what it began to.
            Message::AuthenticationOk if scram.is_some() => return Err(unexpected()),
            Message::AuthenticationOk if config.password.is_some() && !has_asked => {
                return Err(refuse(
                    "the server lets anybody in without asking for the password, so that it may be another one than is meant: have pg_hba.conf ask by scram-sha-256, or leave PGPASSWORD unset",
                ));
            }
            Message::AuthenticationOk => return Ok(()),
            Message::ErrorResponse(body) => return Err(refused(&body)),
            Message::AuthenticationSasl(body) => {
                has_asked = true;
                let begun = begin_scram(messages, config, &body)?;
                scram = Some(begun);
            }
            Message::AuthenticationSaslContinue(body) => {
                let scram = scram.as_mut().ok_or_else(unexpected)?;
                scram.update(body.data())?;
                frontend::sasl_response(scram.message(), &mut messages.out)?;
                messages.send()?;
            }
            Message::AuthenticationSaslFinal(body) => {
                // The server proves here that it knows the password too.
                let mut scram = scram.take().ok_or_else(unexpected)?;
                scram.finish(body.data())?;
            }
            Message::AuthenticationCleartextPassword => {
                has_asked = true;
                let password = secret(config, "password")?;
                send_password(messages, password.as_bytes())?;
            }
            Message::AuthenticationMd5Password(body) => {
                has_asked = true;
                let password = secret(config, "md5")?;
                let hash = md5_hash(config.user.as_bytes(), password.as_bytes(), body.salt());
                send_password(messages, hash.as_bytes())?;
            }
            _ => {
                return Err(refuse(
                    "the server asks for a kind of authentication that this plugin does not know: use scram-sha-256 in pg_hba.conf",
                ));
            }
        }
    }
}

fn begin_scram(
    messages: &mut Messages,
    config: &Config,
    body: &AuthenticationSaslBody,
) -> Result<ScramSha256, Failure> {
    let mut mechanisms = body.mechanisms();
    if !mechanisms.any(|it| Ok(it == SCRAM_SHA_256))? {
        return Err(refuse(
            "the server does not offer SCRAM-SHA-256 without channel binding",
        ));
    }
    let password = password(config)?;
    let scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut messages.out)?;
    messages.send()?;
    Ok(scram)
}

fn send_password(messages: &mut Messages, password: &[u8]) -> Result<(), Failure> {
    frontend::password_message(password, &mut messages.out)?;
    messages.send()
}

/// The password, where it may be sent as it is, or as something that is as good as it.
fn secret<'a>(config: &'a Config, method: &str) -> Result<&'a str, Failure> {
    if !config.security.is_verified() {
        return Err(refuse(&format!(
            "the server asks for the password by the method {method}, which whoever listens, or answers in the server's place, can read: use scram-sha-256 in pg_hba.conf, with a password that was set under `password_encryption = 'scram-sha-256'`, or `sslmode` verify-full"
        )));
    }
    password(config)
}

fn password(config: &Config) -> Result<&str, Failure> {
    let none = || {
        let text = format!(
            "the server asks {:?} for a password: put it into the variable {PASSWORD}, and grant that to the plugin (`env: [{PASSWORD}]`)",
            config.user
        );
        refuse(&text)
    };
    config.password.as_deref().ok_or_else(none)
}

fn refuse(text: &str) -> Failure {
    Failure::Raised(Error::InvalidArgument(text.to_owned()))
}

fn unexpected() -> Failure {
    Failure::Lost("the server sent something else than its part of the start".to_owned())
}
