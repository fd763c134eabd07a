//! Requests by `wasi:http`. Natively there are none.

#[cfg(target_family = "wasm")]
pub(super) use component::{get, gets};

/// Sends no request.
#[cfg(not(target_family = "wasm"))]
pub(super) fn get(_url: &str) -> std::io::Result<String> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Sends no requests.
#[cfg(not(target_family = "wasm"))]
pub(super) fn gets(_number: usize, _url: &str) -> std::io::Result<String> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(target_family = "wasm")]
mod component {
    use std::io;

    use wasip2::http::outgoing_handler;
    use wasip2::http::types::{Fields, IncomingResponse, OutgoingRequest, RequestOptions, Scheme};

    /// Redirects that are followed.
    const MOST_REDIRECTS: usize = 3;

    /// Tells the status and the body of the last answer, or the error's name.
    pub(crate) fn get(url: &str) -> io::Result<String> {
        let mut url = url.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            let response = match send(&url) {
                Ok(response) => response,
                Err(error) => return Ok(error),
            };
            let location = response.headers().get("location");
            match location.into_iter().next() {
                Some(location) => url = String::from_utf8_lossy(&location).into_owned(),
                None => return Ok(format!("{} {}", response.status(), body(&response))),
            }
        }
        Ok("redirected for ever".to_owned())
    }

    pub(crate) fn gets(number: usize, url: &str) -> io::Result<String> {
        let sent = (0..number).map(|_| send(url));
        let answered = sent.filter(|it| it.as_ref().is_ok_and(|it| it.status() == 200));
        Ok(answered.count().to_string())
    }

    fn send(url: &str) -> Result<IncomingResponse, String> {
        let (scheme, rest) = url.split_once("://").ok_or("no url")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let request = OutgoingRequest::new(Fields::new());
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        };
        let refused = |()| "no request".to_owned();
        request.set_scheme(Some(&scheme)).map_err(refused)?;
        request.set_authority(Some(authority)).map_err(refused)?;
        let path = format!("/{path}");
        request.set_path_with_query(Some(&path)).map_err(refused)?;
        let options = RequestOptions::new();
        drop(options.set_connect_timeout(Some(10_000_000_000)));
        let sent =
            outgoing_handler::handle(request, Some(options)).map_err(|error| error.to_string())?;
        sent.subscribe().block();
        let answered = sent.get().ok_or("no answer")?.map_err(|()| "no answer")?;
        answered.map_err(|error| error.to_string())
    }

    fn body(response: &IncomingResponse) -> String {
        let Ok(body) = response.consume() else {
            return String::new();
        };
        let Ok(stream) = body.stream() else {
            return String::new();
        };
        let mut bytes = Vec::new();
        while let Ok(part) = stream.blocking_read(4096) {
            bytes.extend(part);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
