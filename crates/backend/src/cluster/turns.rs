//! Whose turn it is, by weight: smooth weighted round robin, as nginx has it.
//!
//! Each time, every member that can be chosen gains its weight; the one that has most is chosen and pays
//! what all have gained together. A heavy member's turns are spread between those of the light ones, and
//! over as many turns as the weights sum up to each gets exactly its weight.

/// What each member has gained and not yet paid.
#[derive(Debug)]
pub(crate) struct Turns {
    gained: Vec<i64>,
}

impl Turns {
    /// Turns of so many members, of which the one at `first` is chosen first among equals.
    pub(crate) fn new(members: usize, first: usize) -> Turns {
        let mut gained = vec![0; members];
        if members > 0 {
            gained[first % members] = 1;
        }
        Turns { gained }
    }

    /// The next member; one without a weight is passed over.
    pub(crate) fn next(&mut self, weight: impl Fn(usize) -> Option<u32>) -> Option<usize> {
        let mut sum = 0;
        let mut best: Option<usize> = None;
        for member in 0..self.gained.len() {
            let Some(weight) = weight(member) else { continue };
            // Twice, so that the one of whoever is first decides between equals and nothing else.
            let weight = 2 * i64::from(weight);
            self.gained[member] += weight;
            sum += weight;
            if best.is_none_or(|best| self.gained[member] > self.gained[best]) {
                best = Some(member);
            }
        }
        let best = best?;
        self.gained[best] -= sum;
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_heavy_members_turns_are_spread() {
        let mut turns = Turns::new(3, 0);
        let weights = [5, 1, 1];
        let chosen: Vec<usize> = (0..7).filter_map(|_| turns.next(|member| Some(weights[member]))).collect();
        assert_eq!(chosen, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn the_first_among_equals_differs_by_where_one_begins() {
        for first in 0..5 {
            assert_eq!(Turns::new(3, first).next(|_| Some(1)), Some(first % 3));
        }
        assert_eq!(Turns::new(0, 0).next(|_| Some(1)), None);
    }

    proptest! {
        #[test]
        fn each_gets_its_weight_over_a_round(
            weights in proptest::collection::vec(1u32..20, 1..8),
            first in 0usize..8,
            rounds in 1usize..4,
        ) {
            let mut turns = Turns::new(weights.len(), first);
            let mut counts = vec![0u32; weights.len()];
            let length: u32 = weights.iter().sum();
            for _ in 0..length as usize * rounds {
                counts[turns.next(|member| Some(weights[member])).expect("a member")] += 1;
            }
            let expected: Vec<u32> = weights.iter().map(|weight| weight * rounds as u32).collect();
            prop_assert_eq!(counts, expected);
        }

        #[test]
        fn who_is_passed_over_is_never_chosen(
            weights in proptest::collection::vec(proptest::option::of(1u32..20), 1..8),
        ) {
            let mut turns = Turns::new(weights.len(), 0);
            for _ in 0..50 {
                match turns.next(|member| weights[member]) {
                    Some(member) => prop_assert!(weights[member].is_some()),
                    None => prop_assert!(weights.iter().all(Option::is_none)),
                }
            }
        }
    }
}
