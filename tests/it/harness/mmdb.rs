//! Files in the format of MaxMind DB, as the public specification has it (version 2.0): a search
//! tree, what is said, and what the file is.

use ipnet::IpNet;
use std::net::IpAddr;

/// What can be said.
pub(crate) enum Said<'a> {
    Text(&'a str),
    Number(u32),
    Map(Vec<(&'a str, Said<'a>)>),
}

/// What the file says of a country.
pub(crate) fn country(code: &str) -> Said<'_> {
    let names = Said::Map(vec![("en", Said::Text("Somewhere or other, far away from here"))]);
    let country = vec![("names", names), ("iso_code", Said::Text(code))];
    Said::Map(vec![("continent", Said::Map(Vec::new())), ("country", Said::Map(country))])
}

/// What the file says of an operator.
pub(crate) fn operator(number: u32) -> Said<'static> {
    let number = ("autonomous_system_number", Said::Number(number));
    Said::Map(vec![number, ("autonomous_system_organization", Said::Text("Somebody"))])
}

/// A file that says this of some networks, which lie apart.
pub(crate) fn file(kind: &str, networks: &[(&str, Said<'_>)]) -> Vec<u8> {
    // Of each node what follows a zero and a one.
    let mut nodes = vec![[Next::Nothing; 2]];
    let mut data = Vec::new();
    for (network, said) in networks {
        let place = data.len();
        write(&mut data, said);
        let (bits, length) = bits_of(network.parse().unwrap());
        let mut at = 0;
        for depth in 0..length {
            let bit = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                nodes[at][bit] = Next::Data(place);
                break;
            }
            at = match nodes[at][bit] {
                Next::Node(next) => next,
                _ => {
                    nodes.push([Next::Nothing; 2]);
                    let next = nodes.len() - 1;
                    nodes[at][bit] = Next::Node(next);
                    next
                }
            };
        }
    }
    let count = nodes.len();
    let number = |next: Next| match next {
        Next::Nothing => count,
        Next::Node(node) => node,
        Next::Data(place) => count + 16 + place,
    };
    let records = nodes.into_iter().flatten().map(|next| number(next) as u32);
    let mut bytes: Vec<u8> = records.flat_map(u32::to_be_bytes).collect();
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    end(&mut bytes, kind, count);
    bytes
}

#[derive(Clone, Copy)]
enum Next {
    Nothing,
    Node(usize),
    Data(usize),
}

/// The bits of a network in a tree of IPv6, in which IPv4 is `::/96`.
fn bits_of(network: IpNet) -> (u128, u8) {
    match network.addr() {
        IpAddr::V4(address) => (address.to_bits().into(), network.prefix_len() + 96),
        IpAddr::V6(address) => (address.to_bits(), network.prefix_len()),
    }
}

/// What the file is.
fn end(bytes: &mut Vec<u8>, kind: &str, nodes: usize) {
    control(bytes, MAP, 9);
    let mut pair = |name: &str, kind: u8, value: &[u8]| {
        write(bytes, &Said::Text(name));
        control(bytes, kind, value.len());
        bytes.extend(value);
    };
    pair("binary_format_major_version", U16, &[2]);
    pair("binary_format_minor_version", U16, &[]);
    pair("build_epoch", U64, &1_700_000_000_u32.to_be_bytes());
    pair("database_type", TEXT, kind.as_bytes());
    pair("description", MAP, &[]);
    pair("ip_version", U16, &[6]);
    pair("languages", ARRAY, &[]);
    pair("node_count", U32, &(nodes as u32).to_be_bytes());
    pair("record_size", U16, &[32]);
}

const TEXT: u8 = 2;
const U16: u8 = 5;
const U32: u8 = 6;
const MAP: u8 = 7;
const U64: u8 = 9;
const ARRAY: u8 = 11;

/// The type of what follows, and how much of it there is.
fn control(bytes: &mut Vec<u8>, kind: u8, size: usize) {
    let (short, more) = if size < 29 { (size, None) } else { (29, Some(size - 29)) };
    let (first, second) = if kind < 8 { (kind, None) } else { (0, Some(kind - 7)) };
    bytes.push(first << 5 | short as u8);
    bytes.extend(second);
    bytes.extend(more.map(|more| u8::try_from(more).unwrap()));
}

fn write(bytes: &mut Vec<u8>, said: &Said<'_>) {
    match said {
        Said::Text(text) => {
            control(bytes, TEXT, text.len());
            bytes.extend(text.as_bytes());
        }
        Said::Number(number) => {
            control(bytes, U32, 4);
            bytes.extend(number.to_be_bytes());
        }
        Said::Map(pairs) => {
            control(bytes, MAP, pairs.len());
            for (key, value) in pairs {
                write(bytes, &Said::Text(key));
                write(bytes, value);
            }
        }
    }
}
