//! E-mail, by SMTP.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as Protection, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use perennial_runtime::EffectError;

use crate::alert::channels::ChannelError;
use crate::alert::email_text::{plain, rich, subject};
use crate::alert::text::line;
use crate::alert::{Config, Email as Options, Notice, Tls};

/// One exchange with the server may take this long.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Characters of an error that are worth repeating.
const ERROR_LIMIT: usize = 400;
/// Replies that mean "this login does not work" (RFC 4954): mended by the configuration, not by
/// giving up the notification.
const LOGIN_REFUSED: [u16; 4] = [530, 534, 535, 538];

/// The e-mail channel.
pub(super) struct Email {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Email {
    pub(super) fn new(config: &Config) -> Result<Self, ChannelError> {
        let options = &config.email;
        let address = |option: &'static str, text: &String| {
            text.parse::<Mailbox>().map_err(|_| ChannelError::Address { option })
        };
        let to: Result<Vec<Mailbox>, _> =
            options.to.iter().map(|to| address("alert.email.to", to)).collect();
        let from = address("alert.email.from", &options.from)?;
        Ok(Self { server: server(options)?, from, to: to? })
    }

    pub(super) async fn send(&self, notice: &Notice) -> Result<String, EffectError> {
        let message = self.message(notice).map_err(EffectError::permanent)?;
        let response = self.server.send(message).await.map_err(refusal)?;
        Ok(line(&format!("answered {}", response.code()), ERROR_LIMIT))
    }

    fn message(&self, notice: &Notice) -> Result<Message, lettre::error::Error> {
        let domain = self.from.email.domain();
        let created = UNIX_EPOCH + Duration::from_micros(notice.created_at.as_micros());
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(subject(notice))
            .date(created)
            .message_id(Some(message_id(&notice.id, domain)))
            .raw_header(header("Auto-Submitted", "auto-generated".to_owned()))
            .raw_header(header("List-Id", format!("Perennial alerts <alerts.{domain}>")));
        for to in &self.to {
            message = message.to(to.clone());
        }
        if !notice.is_root() {
            let root = message_id(&notice.root_id(), domain);
            message = message.in_reply_to(root.clone()).references(root);
        }
        message.multipart(MultiPart::alternative_plain_html(plain(notice), rich(notice)))
    }
}

/// The same whenever this notice is sent, so that receivers can tell a repetition.
fn message_id(notice: &str, domain: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let local: String = notice.chars().map(|c| if safe(c) { c } else { '_' }).collect();
    format!("<perennial.{local}@{domain}>")
}

fn header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

fn server(options: &Options) -> Result<AsyncSmtpTransport<Tokio1Executor>, ChannelError> {
    let host = options.host.as_str();
    let (tls, usual_port) = match options.tls {
        Tls::StartTls => (Protection::Required(parameters(options)?), 587),
        Tls::Implicit => (Protection::Wrapper(parameters(options)?), 465),
        Tls::None => (Protection::None, 25),
    };
    let port = if options.port == 0 { usual_port } else { options.port };
    let server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(port)
        .tls(tls)
        .timeout(Some(TIMEOUT));
    let server = if options.user.is_empty() {
        server
    } else {
        let password = options.password.expose().to_owned();
        server.credentials(Credentials::new(options.user.clone(), password))
    };
    Ok(server.build())
}

fn parameters(options: &Options) -> Result<TlsParameters, ChannelError> {
    let option = "alert.email.ca_file";
    let mut parameters = TlsParameters::builder(options.host.clone());
    if options.ca_file != Path::new("") {
        let pem = fs::read(&options.ca_file).map_err(|error| ChannelError::File {
            option,
            path: options.ca_file.clone(),
            error,
        })?;
        let authority =
            Certificate::from_pem(&pem).map_err(|error| ChannelError::client(option, error))?;
        parameters = parameters.add_root_certificate(authority);
    }
    parameters.build().map_err(|error| ChannelError::client("alert.email.tls", error))
}

fn refusal(error: Error) -> EffectError {
    let text = line(&error.to_string(), ERROR_LIMIT);
    let login = error.status().is_some_and(|code| LOGIN_REFUSED.contains(&code.into()));
    if login {
        return EffectError::transient(format!(
            "login refused: {text}; check alert.email.user and its password"
        ));
    }
    if error.is_permanent() {
        return EffectError::permanent(format!("refused: {text}"));
    }
    EffectError::transient(format!("not sent: {text}"))
}

#[cfg(test)]
mod tests;
