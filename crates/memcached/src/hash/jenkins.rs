//! Bob Jenkins' lookup3 with the start value 13. Bytes are not sign-extended.

use super::partial_word;

/// The three words of state that twelve bytes are mixed into at a time.
#[derive(Clone, Copy)]
struct State(u32, u32, u32);

impl State {
    /// Adds up to twelve bytes.
    fn add(self, block: &[u8]) -> State {
        let mut words = block.chunks(4).map(partial_word);
        let State(a, b, c) = self;
        let mut next = |word: u32| word.wrapping_add(words.next().unwrap_or(0));
        State(next(a), next(b), next(c))
    }

    fn mix(self) -> State {
        // Each round changes one word by another and adds the third to the second.
        fn round(changed: u32, by: u32, third: u32, shift: u32) -> (u32, u32) {
            (changed.wrapping_sub(by) ^ by.rotate_left(shift), by.wrapping_add(third))
        }
        let State(a, b, c) = self;
        let (a, c) = round(a, c, b, 4);
        let (b, a) = round(b, a, c, 6);
        let (c, b) = round(c, b, a, 8);
        let (a, c) = round(a, c, b, 16);
        let (b, a) = round(b, a, c, 19);
        let (c, b) = round(c, b, a, 4);
        State(a, b, c)
    }

    fn finish(self) -> u32 {
        fn step(changed: u32, by: u32, shift: u32) -> u32 {
            (changed ^ by).wrapping_sub(by.rotate_left(shift))
        }
        let State(a, b, c) = self;
        let c = step(c, b, 14);
        let a = step(a, c, 11);
        let b = step(b, a, 25);
        let c = step(c, b, 16);
        let a = step(a, c, 4);
        let b = step(b, a, 14);
        step(c, b, 24)
    }
}

pub(super) fn digest(key: &[u8]) -> u32 {
    // A key is far shorter than 2³² bytes; libmemcached cuts the length in the same way.
    let start = 0xdead_beef_u32.wrapping_add(key.len() as u32).wrapping_add(13);
    let mut state = State(start, start, start);
    let mut rest = key;
    while rest.len() > 12 {
        let (block, after) = rest.split_at(12);
        state = state.add(block).mix();
        rest = after;
    }
    if rest.is_empty() {
        return start;
    }
    state.add(rest).finish()
}
