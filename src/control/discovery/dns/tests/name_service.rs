//! A name server that says what the test wants, by UDP and TCP.

use crate::control::task::Task;
use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// What fits into one answer by UDP, as most senders take it.
const UDP_BYTES_MAX: usize = 1232;

/// What is said to a question.
#[derive(Clone)]
pub(super) enum Reply {
    Code(ResponseCode),
    Records(Vec<RData>, u32),
    Silence,
}

/// What is said to each question; to others, that there is no such name.
#[derive(Default)]
pub(super) struct Script {
    replies: HashMap<(String, RecordType), Reply>,
    asked: Vec<(String, RecordType)>,
    by_tcp: usize,
}

pub(super) struct NameService {
    pub(super) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    _tasks: [Task; 2],
}

impl NameService {
    /// One at a port that is free.
    pub(super) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), Arc::default()).await
    }

    async fn start_at(address: SocketAddr, script: Arc<Mutex<Script>>) -> Self {
        let (tcp, udp) = bind(address).await;
        let address = tcp.local_addr().unwrap();
        let by_udp = Task::spawn(answer_by_udp(udp, Arc::clone(&script)));
        let by_tcp = Task::spawn(answer_by_tcp(tcp, Arc::clone(&script)));
        Self { address, script, _tasks: [by_udp, by_tcp] }
    }

    /// Ends it; at its address nobody answers. What starts it again.
    pub(super) fn stop(self) -> impl AsyncFnOnce() -> Self {
        let (address, script) = (self.address, Arc::clone(&self.script));
        drop(self);
        async move || Self::start_at(address, script).await
    }

    pub(super) fn say(&self, name: &str, kind: RecordType, reply: Reply) {
        self.script.lock().replies.insert((name.to_owned(), kind), reply);
    }

    /// Says that `name` has these addresses and no others.
    pub(super) fn addresses(&self, name: &str, list: &[&str], ttl: u32) {
        let addresses = list.iter().map(|ip| ip.parse::<IpAddr>().unwrap());
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.partition(IpAddr::is_ipv4);
        for (kind, list) in [(RecordType::A, v4), (RecordType::AAAA, v6)] {
            let data = list.into_iter().map(|ip| match ip {
                IpAddr::V4(ip) => RData::A(A(ip)),
                IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
            });
            self.say(name, kind, Reply::Records(data.collect(), ttl));
        }
    }

    /// Says that `name` is served by these: priority, weight, port, host.
    pub(super) fn services(&self, name: &str, list: &[(u16, u16, u16, &str)], ttl: u32) {
        let data = list.iter().map(|&(priority, weight, port, host)| {
            RData::SRV(SRV::new(priority, weight, port, host.parse().unwrap()))
        });
        self.say(name, RecordType::SRV, Reply::Records(data.collect(), ttl));
    }

    /// How often it was asked about `name`.
    pub(super) fn asked(&self, name: &str) -> usize {
        self.script.lock().asked.iter().filter(|(asked, _)| asked == name).count()
    }

    /// How many questions came by TCP.
    pub(super) fn asked_by_tcp(&self) -> usize {
        self.script.lock().by_tcp
    }
}

/// Both at one port; another test may have one of the two that the system offers.
async fn bind(address: SocketAddr) -> (TcpListener, UdpSocket) {
    for _ in 0..100 {
        let tcp = TcpListener::bind(address).await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (tcp, udp);
        }
    }
    panic!("no port is free for both at {address}");
}

async fn answer_by_udp(udp: UdpSocket, script: Arc<Mutex<Script>>) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, from)) = udp.recv_from(&mut buffer).await else { continue };
        let Some(answer) = answer(&script, &buffer[..length]) else { continue };
        let mut bytes = answer.to_vec().unwrap();
        if bytes.len() > UDP_BYTES_MAX {
            bytes = answer.truncate().to_vec().unwrap();
        }
        udp.send_to(&bytes, from).await.unwrap();
    }
}

async fn answer_by_tcp(tcp: TcpListener, script: Arc<Mutex<Script>>) {
    while let Ok((stream, _)) = tcp.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&script)));
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Script>>) {
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; length.into()];
        stream.read_exact(&mut question).await.unwrap();
        script.lock().by_tcp += 1;
        let Some(answer) = answer(&script, &question) else { continue };
        let bytes = answer.to_vec().unwrap();
        stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    }
}

fn answer(script: &Mutex<Script>, question: &[u8]) -> Option<Message> {
    let asked = Message::from_vec(question).unwrap();
    let query = asked.queries[0].clone();
    let name: &Name = query.name();
    let key = (name.to_ascii().to_ascii_lowercase(), query.query_type());
    let mut script = script.lock();
    script.asked.push(key.clone());
    let reply = script.replies.get(&key).cloned();
    let mut answer = Message::response(asked.metadata.id, OpCode::Query);
    answer.metadata.recursion_available = true;
    match reply.unwrap_or(Reply::Code(ResponseCode::NXDomain)) {
        Reply::Silence => return None,
        Reply::Code(code) => answer.metadata.response_code = code,
        Reply::Records(list, ttl) => {
            let records = list.into_iter().map(|data| Record::from_rdata(name.clone(), ttl, data));
            answer.add_answers(records.collect::<Vec<_>>());
        }
    }
    answer.add_query(query);
    Some(answer)
}
