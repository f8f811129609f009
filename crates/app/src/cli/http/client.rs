//! Speaks to a process that runs, at the address where it serves metrics and health.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;

use highwater_core::{Error, ErrorKind};

use super::wire::{Breaker, BreakerReset, NO_HANDLERS, Persisted, Refusal};
use crate::cli::args::Global;
use crate::cli::error::CliError;
use crate::cli::kinds;
use crate::cli::output::plain;
use crate::cli::session::read_config;

/// How long an answer may take that waits for nothing.
const AT_ONCE: Duration = Duration::from_secs(10);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long beyond a deadline the answer may take that keeps it.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// A process that runs.
pub(crate) struct Process {
    client: Client,
    base: Url,
}

impl Process {
    /// The one at this address, else at the one that the config names. Nothing else of the config counts, and no
    /// backend is asked.
    ///
    /// # Errors
    /// When there is no address.
    pub(crate) fn find(global: &Global, at: Option<&str>) -> Result<Self, CliError> {
        let base = match at {
            Some(at) => parse(at).map_err(|what| CliError::usage(format!("`--at` {what}")))?,
            None => from_config(read_config(global)?.listen)?,
        };
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("highwater/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            // No root certificates are read that are never asked for: a bare container has none.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| CliError::failed("set up HTTP").because(&error))?;
        Ok(Self { client, base })
    }

    /// Its circuit breaker.
    ///
    /// # Errors
    /// When it does not answer, or runs no handlers.
    pub(crate) async fn breaker(&self) -> Result<Breaker, CliError> {
        self.ask(Method::GET, &["breaker"], &[], AT_ONCE).await
    }

    /// Closes its circuit breaker.
    ///
    /// # Errors
    /// As [`Process::breaker`].
    pub(crate) async fn reset_breaker(&self) -> Result<BreakerReset, CliError> {
        self.ask(Method::POST, &["breaker", "reset"], &[], AT_ONCE).await
    }

    /// Has it write its checkpoints now.
    ///
    /// # Errors
    /// As [`Process::breaker`]; `CircuitOpen` while its breaker is open and is not to be overridden.
    pub(crate) async fn persist(
        &self,
        deadline: Duration,
        override_breaker: bool,
    ) -> Result<Persisted, CliError> {
        let millis = deadline.as_millis().to_string();
        let how = [("deadline_ms", millis.as_str()), ("override_breaker", bool_text(override_breaker))];
        self.ask(Method::POST, &["persist"], &how, deadline.saturating_add(ON_ITS_WAY)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        limit: Duration,
    ) -> Result<T, CliError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let answer = self.client.request(method, url).timeout(limit).send().await;
        let answer = answer.map_err(|error| self.silent(error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| self.silent(error))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.stranger(status).because(&error));
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => Err(self.refused(&refusal)),
            Err(_) => Err(self.stranger(status)),
        }
    }

    fn refused(&self, refusal: &Refusal) -> CliError {
        let said = plain(&refusal.error);
        if refusal.kind == NO_HANDLERS {
            let error = CliError::failed(format!("the process at {} has none to show: {said}", self.shown()));
            return error.hint("name the process that runs the handlers with --at URL");
        }
        if refusal.kind == kinds::name(ErrorKind::CircuitOpen) {
            return CliError::port(&Error::new(ErrorKind::CircuitOpen, said)).hint(
                "`highwater breaker` shows when it tries again; where the store is well again, `highwater breaker \
                 reset`, or --override-breaker to write this once",
            );
        }
        CliError::failed(format!("the process at {} refused: {said}", self.shown()))
    }

    fn silent(&self, error: reqwest::Error) -> CliError {
        let what = if error.is_connect() { "nothing answers" } else { "there was no answer in time" };
        CliError::unavailable(format!("{what} at {}", self.shown()))
            // Without the address, which may hold a password.
            .because(&error.without_url())
            .hint("see that `highwater run` runs, and where: it logs `serving metrics and health` with its address")
    }

    fn stranger(&self, status: StatusCode) -> CliError {
        CliError::unavailable(format!(
            "what answers at {} (status {}) is not a `highwater run` of this version",
            self.shown(),
            status.as_u16()
        ))
        .hint("see the address: `http.listen` of the process, or --at URL")
    }

    /// The address without secrets.
    fn shown(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        let port = self.base.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{host}{port}{}", self.base.scheme(), self.base.path().trim_end_matches('/'))
    }
}

fn bool_text(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn from_config(listen: Option<SocketAddr>) -> Result<Url, CliError> {
    let Some(listen) = listen else {
        let error = CliError::usage("the config does not say where the process serves: set `http.listen`");
        return Err(
            error.hint("such as listen = \"127.0.0.1:9464\" below [http], or name a process with --at URL")
        );
    };
    if listen.port() == 0 {
        let error =
            CliError::usage("`http.listen` has port 0, so each process chooses its port at its start");
        return Err(error.hint("name the process with --at URL: it logs its address"));
    }
    let to = SocketAddr::new(reachable(listen.ip()), listen.port());
    parse(&to.to_string()).map_err(|what| CliError::usage(format!("`http.listen` {what}")))
}

/// Where this machine reaches what listens at an address.
fn reachable(listens: IpAddr) -> IpAddr {
    match listens {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// `http://host:port`, also without its scheme.
fn parse(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let wanted = "must be the address of a process, such as http://127.0.0.1:9464";
    let url = Url::parse(&whole).map_err(|error| format!("{wanted}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{wanted}, with http or https, and nothing behind its path"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(at: &str) -> Process {
        Process { client: Client::new(), base: parse(at).unwrap() }
    }

    #[test]
    fn an_address_may_lack_its_scheme_and_hides_its_password() {
        assert_eq!(process("127.0.0.1:9464").shown(), "http://127.0.0.1:9464");
        assert_eq!(process("https://ops:secret@example.com/eu/").shown(), "https://example.com/eu");
        assert_eq!(process("[::1]:9464").shown(), "http://[::1]:9464");
        for bad in ["", "http://", "ftp://x", "http://x/?a=1", "redis://localhost"] {
            assert!(parse(bad).unwrap_err().contains("127.0.0.1:9464"), "{bad:?}");
        }
    }

    #[test]
    fn the_config_leads_to_this_machine() {
        let at = |listen: &str| from_config(Some(listen.parse().unwrap())).map(|url| url.to_string());
        assert_eq!(at("0.0.0.0:9464").unwrap(), "http://127.0.0.1:9464/");
        assert_eq!(at("[::]:9464").unwrap(), "http://[::1]:9464/");
        assert_eq!(at("10.1.2.3:80").unwrap(), "http://10.1.2.3/");
        for error in [at("127.0.0.1:0").unwrap_err(), from_config(None).unwrap_err()] {
            assert!(error.to_string().contains("http.listen") && error.to_string().contains("--at"));
        }
    }
}
