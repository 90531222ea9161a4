//! Replies that no server would send, and those that one would, cut anywhere: what holds for all of them.
//! Fuzz targets check the same.

mod checks;

use checks::check;
use proptest::prelude::*;
use waypost_memcached::protocol::Dialect;

/// Lines and values as servers write them, in any order.
fn lines(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        8 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(line, 0..16).prop_map(|lines| lines.concat())
}

const META: &[&str] = &[
    "VA 1 f0 c1 t-1 O0\r\na\r\n",
    "VA 0 f0 c1 t5 O1\r\n\r\n",
    "VA 2 f7 O2\r\n",
    "VA 3 O5\r\n123\r\n",
    "EN\r\n",
    "EN O2\r\n",
    "MN\r\n",
    "HD f0 c3 O12\r\n",
    "VA 1 f0 c4 O12\r\ni\r\n",
    "HD O4\r\n",
    "NS O4\r\n",
    "EX O4\r\n",
    "NF O5\r\n",
    "HD O7\r\n",
    "HD O8\r\n",
    "VA 1 f0 O6\r\nx\r\n",
    "SERVER_ERROR object too large for cache\r\n",
    "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
    "VERSION 1.6.18\r\n",
    "STAT pid 1\r\n",
    "END\r\n",
    "OK\r\n",
];

const TEXT: &[&str] = &[
    "VALUE a 0 1 1\r\na\r\n",
    "VALUE b 0 0\r\n\r\n",
    "VALUE c 7 2\r\n",
    "VALUE f 0 1\r\nf\r\n",
    "VALUE i 0 1 4\r\ni\r\n",
    "END\r\n",
    "STORED\r\n",
    "NOT_STORED\r\n",
    "NOT_FOUND\r\n",
    "17\r\n",
    "0 \r\n",
    "DELETED\r\n",
    "TOUCHED\r\n",
    "SERVER_ERROR out of memory storing object\r\n",
    "CLIENT_ERROR bad data chunk\r\n",
    "ERROR\r\n",
    "VERSION 1.4.39\r\n",
    "STAT pid 1\r\n",
    "RESET\r\n",
    "OK\r\n",
];

/// A packet as a server writes it.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop::sample::select(&[0u8, 0x09, 0x0a, 0x0e, 0x06, 0x04, 0x1c, 0x0b, 0x10, 0x08][..]);
    let status = prop::sample::select(&[0u16, 0, 0, 1, 2, 3, 5, 6, 0x20, 0x81, 0x82][..]);
    let extras = prop::sample::select(&[0usize, 4, 8][..]);
    let body = prop::sample::select(&[0usize, 1, 8][..]);
    (opcode, status, 0..14u32, extras, 0..3usize, body).prop_map(
        |(opcode, status, tag, extras, key, body)| {
            let mut bytes = vec![0x81, opcode, 0, key as u8, extras as u8, 0];
            bytes.extend(status.to_be_bytes());
            bytes.extend(((extras + key + body) as u32).to_be_bytes());
            bytes.extend(tag.to_be_bytes());
            bytes.resize(24 + extras + key + body, b'1');
            bytes
        },
    )
}

proptest! {
    #[test]
    fn meta_replies_are_read_alike_however_they_are_cut(input in lines(META)) {
        check(Dialect::Meta, &input);
    }

    #[test]
    fn text_replies_are_read_alike_however_they_are_cut(input in lines(TEXT)) {
        check(Dialect::Text, &input);
    }

    #[test]
    fn binary_replies_are_read_alike_however_they_are_cut(
        packets in prop::collection::vec(packet(), 0..16), cut in 0..24usize
    ) {
        let input = packets.concat();
        check(Dialect::Binary, &input[..input.len().saturating_sub(cut)]);
    }
}

#[test]
fn the_replies_of_a_server_that_works_are_all_read() {
    // One reply for each request of the conversation, in each protocol.
    let meta = "VA 1 f0 c1 t-1 O0\r\na\r\nVA 1 f0 c1 t-1 O2\r\nc\r\nMN\r\nNS O4\r\nVA 1 O5\r\n7\r\nEN O6\r\nHD O7\r\n\
                EN O8\r\nVERSION 1.6.18\r\nSTAT pid 1\r\nEND\r\nOK\r\n\
                HD O12\r\n";
    let text = "VALUE a 0 1 1\r\na\r\nEND\r\nSTORED\r\n7\r\nEND\r\nDELETED\r\nTOUCHED\r\nVERSION 1.4.39\r\nEND\r\n\
                OK\r\nVALUE i 0 1 3\r\ni\r\nEND\r\n";
    assert!(check(Dialect::Meta, meta.as_bytes()));
    assert!(check(Dialect::Text, text.as_bytes()));
}
