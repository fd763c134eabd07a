//! `wasi:http/outgoing-handler`: requests to what is granted, each on a connection of its own. Redirects are answers like others: a guest
//! that follows one sends a request, which is looked at as any.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper::header::HeaderValue;
use hyper::{Request, Response, Uri};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::warn;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
    WasiHttpView,
};

use super::metered::Metered;
use super::{Authority, Host, Network, Resolved};
use crate::sandbox::guest::GuestState;

/// How long a connection, or an answer, is waited for where the guest says nothing. The call's deadline is shorter.
const PATIENCE: Duration = Duration::from_mins(10);

/// The most bytes that a guest writes to a body at once, in the host's memory.
const MAX_BODY_CHUNK: usize = 16 << 10;
/// The most bytes of an answer's head.
const MAX_HEAD: usize = 64 << 10;
/// The most bytes of an authority in a log line.
const MAX_TOLD: usize = 256;

/// Sends the requests of one guest.
pub(crate) struct HttpHooks {
    pub(crate) network: Arc<Network>,
}

/// What `handle` takes.
type Sent = (
    Resource<HostOutgoingRequest>,
    Option<Resource<RequestOptions>>,
);

type Answer = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let options = types::LinkOptions::default();
    types::add_to_linker::<GuestState, WasiHttp>(linker, &options, GuestState::http)?;
    let mut interface = linker.instance("wasi:http/outgoing-handler@0.2.0")?;
    // The library's own keeps the options of each request for ever.
    interface.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, GuestState>, (request, options): Sent| {
            let mut view = store.data_mut().http();
            let handle = options.as_ref().map(Resource::rep);
            let sent = outgoing_handler::Host::handle(&mut view, request, options);
            if let Some(handle) = handle {
                let options: Resource<RequestOptions> = Resource::new_own(handle);
                view.table.delete(options)?;
            }
            let sent = match sent {
                Ok(answer) => Ok(answer),
                Err(error) => Err(types::Host::convert_error_code(&mut view, error)?),
            };
            Ok((sent,))
        },
    )
}

// === impl HttpHooks ===

impl WasiHttpHooks for HttpHooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answer, Error>> + Send> {
        let network = Arc::clone(&self.network);
        Box::new(send(network, request, options))
    }

    /// A guest may leave what it has written lying in each of its handles.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        MAX_BODY_CHUNK
    }

    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    fn p2_error_from_connect(&mut self, _: &io::Error) -> ErrorCode {
        ErrorCode::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, _: &io::Error) -> ErrorCode {
        ErrorCode::TlsProtocolError
    }
}

async fn send(
    network: Arc<Network>,
    mut request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<Answer, Error> {
    let patience = |of: fn(&RequestOptions) -> Option<Duration>| options.as_ref().and_then(of);
    let connecting = patience(|it| it.connect_timeout).unwrap_or(PATIENCE);
    let first_byte = patience(|it| it.first_byte_timeout).unwrap_or(PATIENCE);
    let between = patience(|it| it.between_bytes_timeout);

    let is_tls = request.uri().scheme_str() == Some("https");
    let authority = wanted(request.uri(), is_tls)?;
    let text = authority
        .as_ref()
        .map_or_else(|| told(request.uri()), ToString::to_string);
    let granted = network.may_request(&text, authority.as_ref());
    granted.map_err(|_| Error::HttpRequestDenied)?;
    let authority = authority.ok_or(Error::HttpRequestUriInvalid)?;
    // The name by which the server knows itself is the one that is granted, whatever headers say.
    let host = HeaderValue::from_str(&text).map_err(|_| Error::HttpRequestUriInvalid)?;
    request.headers_mut().insert(hyper::header::HOST, host);
    let path = request.uri().path_and_query().cloned();
    let path = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.uri_mut() = path;

    let place = network.open().map_err(|_| Error::ConnectionLimitReached)?;
    let connected = timeout(connecting, connect(&network, &authority)).await;
    let stream = connected.map_err(|_| Error::ConnectionTimeout)??;
    network.connected();
    let stream = Metered::new(stream, place, between);
    let sent = async {
        if is_tls {
            let stream = timeout(connecting, encrypted(&authority, stream)).await;
            let stream = stream.map_err(|_| Error::ConnectionTimeout)??;
            exchange(stream, request).await
        } else {
            exchange(stream, request).await
        }
    };
    let answered = timeout(first_byte, sent).await;
    answered.map_err(|_| Error::ConnectionReadTimeout)?
}

/// The host and port of a request as far as they are a log's: without what stands before an `@`.
fn told(uri: &Uri) -> String {
    let text = uri.authority().map_or("", |it| it.as_str());
    let (_, text) = text.rsplit_once('@').unwrap_or_default();
    text.chars().take(MAX_TOLD).collect()
}

/// The host and port of a request.
fn wanted(uri: &Uri, is_tls: bool) -> Result<Option<Authority>, Error> {
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    // A name and a password before the host are no part of it, and mislead who reads it.
    if authority.as_str().contains('@') {
        return Ok(None);
    }
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None if is_tls => 443,
        None => 80,
    };
    Ok(Authority::of(authority.host(), port))
}

/// Connects to the first address that takes the connection.
async fn connect(network: &Network, authority: &Authority) -> Result<TcpStream, Error> {
    let addresses = match network.resolve(authority.host()).await {
        Ok(addresses) => addresses,
        Err(Resolved::Refused) => return Err(Error::DestinationIpProhibited),
        Err(Resolved::Failed(error)) => {
            return Err(Error::DnsError {
                rcode: Some(error.to_string()),
                info_code: None,
            });
        }
    };
    let mut failed = Error::DestinationNotFound;
    for address in addresses {
        let begun = network.may_begin();
        begun.map_err(|_| Error::ConnectionLimitReached)?;
        match TcpStream::connect((address, authority.port())).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Error::Connect(error),
        }
    }
    Err(failed)
}

async fn encrypted<S: AsyncRead + AsyncWrite + Unpin>(
    authority: &Authority,
    stream: S,
) -> Result<tokio_rustls::client::TlsStream<S>, Error> {
    let name = match authority.host() {
        Host::Address(address) => ServerName::from(*address),
        Host::Name(name) => {
            ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)?
        }
    };
    let config = TLS.clone().ok_or(Error::ConfigurationError)?;
    let connector = TlsConnector::from(config);
    connector.connect(name, stream).await.map_err(Error::Tls)
}

/// TLS with the system's CAs, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. None if it cannot be had.
static TLS: LazyLock<Option<Arc<ClientConfig>>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        warn!(%error, "a CA of the system cannot be used for the HTTPS of plugins");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.ok()?.with_root_certificates(roots);
    Some(Arc::new(config.with_no_client_auth()))
});

/// Sends the request. The connection goes on until the answer has been read.
async fn exchange<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    request: Request<WasiBody>,
) -> Result<Answer, Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let mut connection = Box::pin(connection);
    let mut ended = None;
    let response = {
        let mut answered = Box::pin(sender.send_request(request));
        tokio::select! {
            // An answer that has come counts, however the connection ended then.
            biased;
            response = &mut answered => response?,
            result = &mut connection => {
                ended = Some(result);
                answered.await?
            }
        }
    };
    let response = response.map(|body| body.map_err(Error::from).boxed_unsync());
    let connection = async move {
        if ended.is_none() {
            // Who reads the body is told how it has ended.
            drop(connection.await);
        }
        // Until here, so that the connection is not taken for one that nobody wants.
        drop(sender);
        Ok(())
    };
    Ok((response, Box::new(connection)))
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (hooks, ctx, table): (&mut HttpHooks, &mut WasiHttpCtx, _) = self.http_parts();
        WasiHttpCtxView { ctx, table, hooks }
    }
}
