//! What keeps web pages away from a node that asks for no token. A browser of somebody on this machine reaches the
//! node, and sends it what any page wants; it says so in the headers `Host`, `Origin` and `Sec-Fetch-Site`, which no page can set.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

use super::error::ApiError;

/// Set by browsers (W3C, Fetch Metadata Request Headers).
const FETCHED_BY: &str = "sec-fetch-site";

/// Refuses what a page of another site sends, and what was sent to a name that is not this machine's: such a name can be
/// made to lead here.
pub(super) fn refuse_pages(headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    // In HTTP/2 it is part of the address.
    let host = text(HOST).or_else(|| uri.authority().map(Authority::as_str));
    let why = if host.is_some_and(|host| !is_here(host)) {
        "this node asks for no token and is to be asked at a name of this machine, such as 127.0.0.1"
    } else if text(ORIGIN).is_some_and(|origin| !is_of(origin, host))
        || headers.get(FETCHED_BY).is_some_and(|site| site.as_bytes() == b"cross-site")
    {
        "a web page of another site sent this, and this node asks for no token"
    } else {
        return Ok(());
    };
    Err(ApiError::Forbidden(format!("{why}; set `http.token` to allow it to who sends the token")))
}

/// Whether it is a name or an address of this machine alone, with or without a port.
fn is_here(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().to_ascii_lowercase();
    let address: Result<IpAddr, _> = name.trim_matches(['[', ']']).parse();
    match address {
        Ok(address) => address.is_loopback(),
        // RFC 6761, 6.3.
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// Whether the page came from this node.
fn is_of(origin: &str, host: Option<&str>) -> bool {
    origin.split_once("://").is_some_and(|(_, from)| Some(from) == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&'static str, &str)]) -> bool {
        let pairs =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap = pairs.collect();
        refuse_pages(&headers, &Uri::from_static("/v1/queries")).is_ok()
    }

    #[test]
    fn a_node_without_a_token_is_asked_at_names_of_this_machine_only() {
        for host in
            ["127.0.0.1:8000", "127.8.0.1", "localhost", "LocalHost:1", "a.localhost", "[::1]:8000"]
        {
            assert!(asked(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1:8000",
            "[::2]",
            "",
            "a b",
            "0.0.0.0",
        ] {
            assert!(!asked(&[("host", host)]), "{host}");
        }
        assert!(asked(&[]), "no browser leaves it out");
    }

    #[test]
    fn what_a_page_of_another_site_sends_is_refused() {
        let here = ("host", "127.0.0.1:8000");
        assert!(asked(&[here, ("origin", "http://127.0.0.1:8000")]));
        for origin in
            ["https://evil.example", "http://127.0.0.1:8001", "null", "http://localhost:8000"]
        {
            assert!(!asked(&[here, ("origin", origin)]), "{origin}");
        }
        assert!(!asked(&[here, ("sec-fetch-site", "cross-site")]));
        assert!(asked(&[here, ("sec-fetch-site", "none")]), "somebody typed it in");
    }
}
