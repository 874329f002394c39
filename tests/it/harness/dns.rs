//! A name server that says what it is told.

use parking_lot::Mutex;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What it says.
#[derive(Clone, Default)]
pub(crate) struct Zone {
    /// Addresses of every name.
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// Services of every name: priority, weight, port.
    pub(crate) services: Vec<[u16; 3]>,
    /// How long that holds, in seconds.
    pub(crate) ttl: u32,
    /// Says that it failed.
    pub(crate) fails: bool,
}

/// A name server. It goes when it is dropped.
pub(crate) struct NameServer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<Mutex<Vec<u16>>>,
    answering: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

const A: u16 = 1;
const SRV: u16 = 33;

impl NameServer {
    pub(crate) async fn start(zone: Zone) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(zone));
        let asked = Arc::<Mutex<Vec<u16>>>::default();
        let (said, noted) = (Arc::clone(&zone), Arc::clone(&asked));
        let answering = tokio::spawn(async move {
            let mut query = [0; 512];
            loop {
                let (length, client) = socket.recv_from(&mut query).await.unwrap();
                let (kind, reply) = answer(&query[..length], &said.lock());
                noted.lock().push(kind);
                socket.send_to(&reply, client).await.unwrap();
            }
        });
        Self { address, zone, asked, answering }
    }

    /// From now on it says this.
    pub(crate) fn say(&self, zone: Zone) {
        *self.zone.lock() = zone;
    }

    /// The types it was asked for, in order.
    pub(crate) fn asked(&self) -> Vec<u16> {
        self.asked.lock().clone()
    }
}

/// RFC 1035 §4: the question once more, and what there is to say.
fn answer(query: &[u8], zone: &Zone) -> (u16, Vec<u8>) {
    let name_end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let kind = u16::from_be_bytes([query[name_end], query[name_end + 1]]);
    let mut records: Vec<Vec<u8>> = Vec::new();
    match kind {
        A => records.extend(zone.addresses.iter().map(|address| address.octets().to_vec())),
        SRV => records.extend(zone.services.iter().map(|service| {
            let mut record: Vec<u8> = service.iter().flat_map(|part| part.to_be_bytes()).collect();
            record.extend(b"\x04host\x04test\0");
            record
        })),
        _ => {}
    }
    if zone.fails {
        records.clear();
    }
    let mut reply = query[..2].to_vec();
    reply.extend([0x84, if zone.fails { 2 } else { 0 }, 0, 1]);
    reply.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    reply.extend([0, 0, 0, 0]);
    reply.extend(&query[12..name_end + 4]);
    for record in records {
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1]);
        reply.extend(zone.ttl.to_be_bytes());
        reply.extend(u16::try_from(record.len()).unwrap().to_be_bytes());
        reply.extend(record);
    }
    (kind, reply)
}
