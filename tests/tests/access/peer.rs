//! TLS clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use larder_tests::{Call, method, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// Opens a TLS connection. The server may still close it, because in TLS 1.3 the client's certificate comes last.
pub(crate) async fn connect(
    address: SocketAddr,
    client: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    patiently(
        "a handshake",
        TlsConnector::from(client).connect(name, socket),
    )
    .await
}

/// Returns the certificate that the server presents to a new connection.
pub(crate) async fn served(address: SocketAddr, client: Arc<ClientConfig>) -> Vec<u8> {
    let stream = connect(address, client).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap();
    shown[0].to_vec()
}

/// Sends a request to the admin port on a connection that stays open.
pub(crate) async fn ask(stream: &mut TlsStream<TcpStream>) {
    let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 15];
    patiently("an answer", stream.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

/// Opens a gRPC connection over TLS.
pub(crate) async fn channel(
    address: SocketAddr,
    client: Arc<ClientConfig>,
) -> Result<Channel, tonic::transport::Error> {
    let connector = service_fn(move |_| {
        let client = Arc::clone(&client);
        async move { connect(address, client).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    patiently("a connection", endpoint.connect_with_connector(connector)).await
}

/// Returns the code of an empty Export, which every gRPC port answers.
pub(crate) async fn export(address: SocketAddr, client: Arc<ClientConfig>) -> Result<Code, String> {
    let channel = channel(address, client)
        .await
        .map_err(|error| error.to_string())?;
    let answer = Call::new(channel).unary(method::EXPORT, Bytes::new()).await;
    Ok(answer.map_or_else(|status| status.code(), |_| Code::Ok))
}

/// Returns the status line of a request to the admin port, over TLS.
pub(crate) async fn get(
    address: SocketAddr,
    client: Arc<ClientConfig>,
    path: &str,
) -> io::Result<String> {
    let answer = page(address, client, path).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

/// Returns the whole answer, with its headers.
pub(crate) async fn page(
    address: SocketAddr,
    client: Arc<ClientConfig>,
    path: &str,
) -> io::Result<String> {
    let mut stream = connect(address, client).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    patiently("an answer", stream.read_to_string(&mut answer)).await?;
    Ok(answer)
}
