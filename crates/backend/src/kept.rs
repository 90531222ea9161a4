//! Bytes that are kept so that they can be read again.
//!
//! They only grow at the end, and are let go only from the front. They stand in segments, so that growing
//! copies nothing that is there already and letting go gives memory back piece by piece; the first
//! segments are small and the later ones larger, so that a short body costs little and a long one few
//! allocations. Never more than twice what is kept, and a kilobyte, is held.

use std::collections::VecDeque;

/// Segments are between these sizes.
const SMALLEST: usize = 1024;
const LARGEST: usize = 64 * 1024;

/// An append-only run of bytes.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    segments: VecDeque<Vec<u8>>,
    /// How many segments have been let go before the first of these.
    gone: usize,
    /// How many bytes have ever been appended.
    length: usize,
}

/// A place in [`Kept`]. The default is the beginning.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Position {
    /// Which segment, counting those that are gone.
    segment: usize,
    offset: usize,
}

impl Kept {
    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        if let Some(last) = self.segments.back_mut() {
            let fits = bytes.len().min(last.capacity() - last.len());
            last.extend_from_slice(&bytes[..fits]);
            bytes = &bytes[fits..];
        }
        while !bytes.is_empty() {
            let size = self.length.clamp(SMALLEST, LARGEST);
            let count = bytes.len().min(size);
            let mut segment = Vec::with_capacity(size);
            segment.extend_from_slice(&bytes[..count]);
            self.segments.push_back(segment);
            bytes = &bytes[count..];
        }
    }

    /// Copies at most `room` bytes from `position` on behind `out`, and moves it. `false`: there are no
    /// more, or none yet. What was let go can't be had again: a position there is moved to what is left.
    pub(crate) fn copy(&self, position: &mut Position, out: &mut Vec<u8>, room: usize) -> bool {
        if position.segment < self.gone {
            *position = Position { segment: self.gone, offset: 0 };
        }
        while let Some(segment) = self.segments.get(position.segment - self.gone) {
            let rest = segment.get(position.offset..).unwrap_or_default();
            if !rest.is_empty() {
                let count = rest.len().min(room);
                out.extend_from_slice(&rest[..count]);
                position.offset += count;
                return true;
            }
            if position.segment + 1 - self.gone == self.segments.len() {
                break;
            }
            *position = Position { segment: position.segment + 1, offset: 0 };
        }
        false
    }

    /// The place behind all that was appended.
    pub(crate) fn end(&self) -> Position {
        match self.segments.back() {
            Some(last) => Position { segment: self.gone + self.segments.len() - 1, offset: last.len() },
            None => Position { segment: self.gone, offset: 0 },
        }
    }

    /// Lets go of the segments that lie whole before `position`.
    pub(crate) fn let_go_before(&mut self, position: Position) {
        while self.gone < position.segment && self.segments.pop_front().is_some() {
            self.gone += 1;
        }
    }

    /// Lets go of everything.
    pub(crate) fn let_go(&mut self) {
        self.gone += self.segments.len();
        self.segments = VecDeque::new();
    }

    /// How many bytes of memory are held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.segments.iter().map(Vec::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(kept: &Kept, position: &mut Position, room: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while kept.copy(position, &mut out, room) {}
        out
    }

    proptest! {
        #[test]
        fn what_was_appended_is_read_whole_however_it_came(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..60),
            room in 1usize..5000,
        ) {
            let (mut kept, mut early) = (Kept::default(), Position::default());
            let mut behind = Vec::new();
            for piece in &pieces {
                kept.append(piece);
                behind.extend(read(&kept, &mut early, room));
            }
            let whole = pieces.concat();
            prop_assert_eq!(&behind, &whole, "by one that reads along");
            prop_assert_eq!(&read(&kept, &mut Position::default(), room), &whole, "by one that begins late");
            prop_assert!(kept.held() <= 2 * whole.len() + SMALLEST, "{} for {}", kept.held(), whole.len());
        }

        #[test]
        fn letting_go_behind_a_reader_changes_nothing_for_it(
            length in 0usize..300_000,
            room in 1usize..70_000,
        ) {
            let whole: Vec<u8> = (0..length).map(|n| (n / 7) as u8).collect();
            let (mut kept, mut position, mut out) = (Kept::default(), Position::default(), Vec::new());
            whole.chunks(1500).for_each(|piece| kept.append(piece));
            while kept.copy(&mut position, &mut out, room) {
                kept.let_go_before(position);
                prop_assert!(kept.held() <= length - out.len() + 2 * LARGEST);
            }
            prop_assert_eq!(out, whole);
            kept.let_go();
            prop_assert_eq!(kept.held(), 0);
        }
    }
}
