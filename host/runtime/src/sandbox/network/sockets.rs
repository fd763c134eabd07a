//! `wasi:sockets/tcp`: connections to what is granted. Nothing is bound, listens, or sends datagrams.
//!
//! Every function is the library's. Those that begin something ask first, and the streams of a connection are metered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{
    self, ErrorCode, IpAddressFamily, IpSocketAddress,
};
use wasmtime_wasi::p2::bindings::sockets::tcp::{self, HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Network as NetworkHandle, SocketError,
    SocketResult, TcpSocket, UdpSocket,
};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView};

use super::metered::{MeteredInput, MeteredOutput};
use super::{Network, OpenConnection, Refusal};
use crate::sandbox::guest::GuestState;

/// The places of an instance's sockets, by their handles.
pub(crate) type OpenSockets = HashMap<u32, OpenConnection>;

/// The sockets of one guest.
struct Sockets<'a> {
    inner: WasiSocketsCtxView<'a>,
    network: Arc<Network>,
    open: &'a mut OpenSockets,
}

struct HasSockets;

impl HasData for HasSockets {
    type Data<'a> = Sockets<'a>;
}

pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    tcp::add_to_linker::<GuestState, HasSockets>(linker, sockets)?;
    tcp_create_socket::add_to_linker::<GuestState, HasSockets>(linker, sockets)?;
    udp_create_socket::add_to_linker::<GuestState, HasSockets>(linker, sockets)
}

fn sockets(state: &mut GuestState) -> Sockets<'_> {
    let (inner, network, open) = state.sockets_and_network();
    Sockets {
        inner,
        network: Arc::clone(network),
        open,
    }
}

impl Network {
    /// Whether a socket may use an address. The library asks before it does.
    pub(crate) fn may_use(&self, address: SocketAddr, used: SocketAddrUse) -> bool {
        match used {
            // What the system chooses for a connection.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            SocketAddrUse::TcpConnect => self.may_connect(address).is_ok(),
            SocketAddrUse::TcpListen
            | SocketAddrUse::TcpAccept
            | SocketAddrUse::UdpBind
            | SocketAddrUse::UdpSend
            | SocketAddrUse::UdpReceive => false,
        }
    }
}

// === impl Sockets ===

impl Sockets<'_> {
    fn denied<T>(&self, refusal: &Refusal) -> SocketResult<T> {
        self.network.refuse(refusal);
        Err(ErrorCode::AccessDenied.into())
    }
}

impl network::HostNetwork for Sockets<'_> {
    fn drop(&mut self, network: Resource<NetworkHandle>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.inner, network)
    }
}

impl network::Host for Sockets<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.inner.convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.inner.network_error_code(error)
    }
}

impl tcp_create_socket::Host for Sockets<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        if !self.network.has_tcp() {
            return self.denied(&Refusal::Authority {
                kind: "tcp",
                wanted: "a socket".to_owned(),
            });
        }
        let Ok(place) = self.network.open() else {
            return Err(ErrorCode::NewSocketLimit.into());
        };
        let socket = self.inner.create_tcp_socket(family)?;
        self.open.insert(socket.rep(), place);
        Ok(socket)
    }
}

impl udp_create_socket::Host for Sockets<'_> {
    async fn create_udp_socket(&mut self, _: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.denied(&Refusal::Kind("sending datagrams"))
    }
}

impl tcp::Host for Sockets<'_> {}

type Socket = Resource<TcpSocket>;

/// Functions that are the library's own.
macro_rules! same {
    ($($name:ident($($argument:ident: $ty:ty),*) -> $result:ty;)*) => {
        $(fn $name(&mut self, socket: Socket $(, $argument: $ty)*) -> $result {
            HostTcpSocket::$name(&mut self.inner, socket $(, $argument)*)
        })*
    };
}

impl HostTcpSocket for Sockets<'_> {
    async fn start_bind(
        &mut self,
        _: Socket,
        _: Resource<NetworkHandle>,
        _: IpSocketAddress,
    ) -> SocketResult<()> {
        self.denied(&Refusal::Kind("binding a socket to an address"))
    }

    async fn start_listen(&mut self, _: Socket) -> SocketResult<()> {
        self.denied(&Refusal::Kind("listening"))
    }

    fn finish_connect(
        &mut self,
        socket: Socket,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let (input, output) = self.inner.finish_connect(socket)?;
        self.network.connected();
        let stream = self.inner.table.get_mut(&input)?;
        let inner = std::mem::replace(stream, Box::new(ClosedInputStream));
        *stream = Box::new(MeteredInput {
            inner,
            network: Arc::clone(&self.network),
        });
        let stream = self.inner.table.get_mut(&output)?;
        let inner = std::mem::replace(stream, Box::new(ClosedOutputStream));
        *stream = Box::new(MeteredOutput {
            inner,
            network: Arc::clone(&self.network),
        });
        Ok((input, output))
    }

    fn accept(
        &mut self,
        _: Socket,
    ) -> SocketResult<(Socket, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        self.denied(&Refusal::Kind("accepting connections"))
    }

    fn drop(&mut self, socket: Socket) -> wasmtime::Result<()> {
        let handle = socket.rep();
        HostTcpSocket::drop(&mut self.inner, socket)?;
        self.open.remove(&handle);
        Ok(())
    }

    same! {
        start_connect(network: Resource<NetworkHandle>, to: IpSocketAddress) -> SocketResult<()>;
        finish_bind() -> SocketResult<()>;
        finish_listen() -> SocketResult<()>;
        local_address() -> SocketResult<IpSocketAddress>;
        remote_address() -> SocketResult<IpSocketAddress>;
        is_listening() -> wasmtime::Result<bool>;
        address_family() -> wasmtime::Result<IpAddressFamily>;
        set_listen_backlog_size(value: u64) -> SocketResult<()>;
        keep_alive_enabled() -> SocketResult<bool>;
        set_keep_alive_enabled(value: bool) -> SocketResult<()>;
        keep_alive_idle_time() -> SocketResult<u64>;
        set_keep_alive_idle_time(value: u64) -> SocketResult<()>;
        keep_alive_interval() -> SocketResult<u64>;
        set_keep_alive_interval(value: u64) -> SocketResult<()>;
        keep_alive_count() -> SocketResult<u32>;
        set_keep_alive_count(value: u32) -> SocketResult<()>;
        hop_limit() -> SocketResult<u8>;
        set_hop_limit(value: u8) -> SocketResult<()>;
        receive_buffer_size() -> SocketResult<u64>;
        set_receive_buffer_size(value: u64) -> SocketResult<()>;
        send_buffer_size() -> SocketResult<u64>;
        set_send_buffer_size(value: u64) -> SocketResult<()>;
        subscribe() -> wasmtime::Result<Resource<DynPollable>>;
        shutdown(what: ShutdownType) -> SocketResult<()>;
    }
}
