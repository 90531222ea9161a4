//! What is to be sent: small pieces gathered in one buffer, large values passed on without a copy.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;

use bytes::{Buf, Bytes};

/// From this size on a value is referred to instead of copied.
const BY_REFERENCE: usize = 8 * 1024;

/// Bytes in the order they are to be written.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Complete pieces, before the tail, and their bytes.
    pieces: VecDeque<Bytes>,
    whole: usize,
    /// What is being gathered, and how much of it was written.
    tail: Vec<u8>,
    written: usize,
}

impl Outgoing {
    /// Appends bytes.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Appends a number in decimal.
    #[inline]
    pub fn put_number(&mut self, number: impl itoa::Integer) {
        self.put(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Appends a value.
    pub fn put_value(&mut self, value: &Bytes) {
        if value.len() < BY_REFERENCE {
            return self.put(value);
        }
        if !self.rest().is_empty() {
            let tail = Bytes::from(mem::take(&mut self.tail)).slice(self.written..);
            self.push(tail);
        }
        (self.tail, self.written) = (Vec::new(), 0);
        self.push(value.clone());
    }

    fn push(&mut self, piece: Bytes) {
        self.whole += piece.len();
        self.pieces.push_back(piece);
    }

    /// What is left of the tail.
    fn rest(&self) -> &[u8] {
        &self.tail[self.written..]
    }

    /// How many bytes are left to write.
    pub fn len(&self) -> usize {
        self.whole + self.rest().len()
    }

    /// Whether everything was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Points `slices` at the next bytes; says how many of them were used.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.pieces.iter().map(|piece| &piece[..]);
        let tail = (!self.rest().is_empty()).then_some(self.rest());
        let mut used = 0;
        for (slot, bytes) in slices.iter_mut().zip(pieces.chain(tail)) {
            *slot = IoSlice::new(bytes);
            used += 1;
        }
        used
    }

    /// All that is left, where it lies in one place.
    pub fn contiguous(&self) -> Option<&[u8]> {
        self.pieces.is_empty().then_some(self.rest())
    }

    /// Takes `written` bytes off the front; more than there are empties it.
    pub fn advance(&mut self, written: usize) {
        let mut left = written.min(self.len());
        while let Some(piece) = self.pieces.front_mut() {
            let taken = left.min(piece.len());
            self.whole -= taken;
            left -= taken;
            if taken < piece.len() {
                return piece.advance(taken);
            }
            self.pieces.pop_front();
        }
        self.written += left;
        if self.written == self.tail.len() {
            self.written = 0;
            self.tail.clear();
        }
    }

    /// A copy of everything that is left.
    pub fn to_vec(&self) -> Vec<u8> {
        let pieces = self.pieces.iter().map(|piece| &piece[..]);
        pieces.chain([self.rest()]).collect::<Vec<_>>().concat()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_comes_out_is_what_went_in(
            sizes in prop::collection::vec(prop_oneof![0..40usize, 8000..8400usize], 0..12),
            steps in prop::collection::vec(1..5000usize, 1..40),
        ) {
            let mut outgoing = Outgoing::default();
            let mut expected = Vec::new();
            for (number, size) in sizes.iter().enumerate() {
                let piece = Bytes::from(vec![number as u8; *size]);
                expected.extend_from_slice(&piece);
                outgoing.put_value(&piece);
            }
            let mut written = Vec::new();
            let mut step = steps.iter().cycle();
            while !outgoing.is_empty() {
                prop_assert_eq!(outgoing.len(), expected.len() - written.len());
                if let Some(all) = outgoing.contiguous() {
                    prop_assert_eq!(all, &expected[written.len()..]);
                }
                let mut slices = [IoSlice::new(&[]); 3];
                let used = outgoing.slices(&mut slices);
                let bytes = slices[..used].iter().map(|slice| &slice[..]).collect::<Vec<_>>().concat();
                let taken = bytes.len().min(*step.next().unwrap());
                written.extend_from_slice(&bytes[..taken]);
                outgoing.advance(taken);
            }
            prop_assert_eq!(written, expected);
        }
    }
}
