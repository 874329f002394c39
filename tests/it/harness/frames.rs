//! WebSocket frames (RFC 6455 §5): enough of them to see that they pass unchanged.

use super::wire::Wire;

/// What a client asks to speak WebSocket with. Key and accept are the pair of RFC 6455 §1.3.
pub(crate) const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The answer to it.
pub(crate) const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A text message.
pub(crate) const TEXT: u8 = 1;
/// The end, with a code.
pub(crate) const CLOSE: u8 = 8;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Sends a message as one frame: masked if `wire` is a client's.
pub(crate) async fn send(wire: &mut Wire, kind: u8, payload: &[u8], is_masked: bool) {
    let mut frame = vec![FIN | kind];
    let mask_bit = if is_masked { MASKED } else { 0 };
    match u16::try_from(payload.len()).expect("a short message") {
        short @ 0..126 => frame.push(mask_bit | u8::try_from(short).unwrap()),
        long => {
            frame.push(mask_bit | 126);
            frame.extend_from_slice(&long.to_be_bytes());
        }
    }
    if is_masked {
        frame.extend_from_slice(&MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        frame.extend_from_slice(payload);
    }
    wire.send(frame).await;
}

/// The next frame: its kind and payload; `None` if the connection ends first.
pub(crate) async fn next(wire: &mut Wire) -> Option<(u8, Vec<u8>)> {
    let mut start = Vec::new();
    wire.take(2, &mut start).await?;
    let length = match start[1] & !MASKED {
        126 => usize::from(u16::from_be_bytes(wire.exactly(2).await.try_into().unwrap())),
        short => usize::from(short),
    };
    let mask = if start[1] & MASKED == 0 { vec![0; 4] } else { wire.exactly(4).await };
    let payload = wire.exactly(length).await;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((start[0] & !FIN, payload))
}
