//! A chunked body: fed whole or byte by byte, it gives the same data, or the same error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_http1::ChunkedDecoder;
use waypost_http1::chunked::ChunkError;

fn decode(input: &[u8], step: usize) -> (Vec<u8>, Option<ChunkError>, bool) {
    let (mut decoder, mut data, mut at, mut end) = (ChunkedDecoder::new(), Vec::new(), 0, 0);
    loop {
        match decoder.decode(&input[at..end], 1000) {
            Err(error) => return (data, Some(error), false),
            Ok(decoded) => {
                data.extend_from_slice(&input[at..][decoded.data.clone()]);
                at += decoded.used;
                if decoded.done {
                    let error = decoder.trailers().err();
                    return (data, error, true);
                }
                if decoded.used == 0 {
                    if end == input.len() {
                        return (data, None, false);
                    }
                    end = input.len().min(end + step);
                }
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    assert_eq!(decode(input, usize::MAX / 2), decode(input, 1));
});
