//! The front of an automaton over many patterns, made narrow.
//!
//! A search may begin at every byte, so the first states of all patterns are in every set of
//! states that the lazy automaton makes: thousands, which it looks at again for each new set and
//! keeps in it. Here they become one state that goes by the next byte to what patterns that begin
//! with it have next; each assertion that patterns begin with stands before one more such state.
//! What is matched stays the same.

use std::collections::{HashMap, HashSet};

use regex_automata::nfa::thompson::{Builder, NFA, State, Transition};
use regex_automata::util::{look::Look, primitives::StateID};

/// `nfa` with a narrow front, or as it is where it has states of which this knows nothing.
pub(crate) fn narrowed(nfa: NFA) -> NFA {
    rebuilt(&nfa).unwrap_or(nfa)
}

/// `None` also when there are too many states to be numbered.
fn rebuilt(nfa: &NFA) -> Option<NFA> {
    let mut builder = Builder::new();
    builder.set_utf8(false);
    for state in nfa.states() {
        // Each state gets the number that it had.
        match state {
            State::ByteRange { trans } => builder.add_range(*trans).ok()?,
            State::Sparse(sparse) => builder.add_sparse(sparse.transitions.to_vec()).ok()?,
            State::Look { look, next } => builder.add_look(*next, *look).ok()?,
            State::Union { alternates } => builder.add_union(alternates.to_vec()).ok()?,
            State::BinaryUnion { alt1, alt2 } => builder.add_union(vec![*alt1, *alt2]).ok()?,
            State::Fail => builder.add_fail().ok()?,
            State::Match { pattern_id } => {
                let start = nfa.start_pattern(*pattern_id)?;
                builder.start_pattern().ok()?;
                let state = builder.add_match().ok()?;
                if builder.finish_pattern(start).ok()? != *pattern_id {
                    return None;
                }
                state
            }
            State::Dense(_) | State::Capture { .. } => return None,
        };
    }
    let front = Front { nfa, builder: &mut builder }.state(vec![nfa.start_anchored()], true)?;
    let start = builder.add_union(vec![front]).ok()?;
    let next = builder.add_range(Transition { start: 0, end: u8::MAX, next: start }).ok()?;
    builder.patch(start, next).ok()?;
    builder.build(front, start).ok()
}

struct Front<'a> {
    nfa: &'a NFA,
    builder: &'a mut Builder,
}

impl Front<'_> {
    /// A state that does what all of `from` do. Assertions are gathered too when `is_outer`.
    fn state(&mut self, from: Vec<StateID>, is_outer: bool) -> Option<StateID> {
        let mut steps: Vec<Transition> = Vec::new();
        let mut alternates = Vec::new();
        let mut looks: Vec<(Look, Vec<StateID>)> = Vec::new();
        for id in self.reached(from) {
            match self.nfa.state(id) {
                State::ByteRange { trans } => steps.push(*trans),
                State::Sparse(sparse) => steps.extend_from_slice(&sparse.transitions),
                State::Look { look, next } if is_outer => {
                    match looks.iter_mut().find(|(known, _)| known == look) {
                        Some((_, behind)) => behind.push(*next),
                        None => looks.push((*look, vec![*next])),
                    }
                }
                _ => alternates.push(id),
            }
        }
        for (look, behind) in looks {
            let next = self.state(behind, false)?;
            alternates.push(self.builder.add_look(next, look).ok()?);
        }
        let sparse = self.merged(&steps)?;
        if !sparse.is_empty() {
            alternates.push(self.builder.add_sparse(sparse).ok()?);
        }
        self.builder.add_union(alternates).ok()
    }

    /// The states that `from` reaches without a byte or an assertion, each once.
    fn reached(&self, from: Vec<StateID>) -> Vec<StateID> {
        let mut seen = HashSet::new();
        let mut pending = from;
        let mut found = Vec::new();
        while let Some(id) = pending.pop() {
            if !seen.insert(id) {
                continue;
            }
            match self.nfa.state(id) {
                State::Union { alternates } => pending.extend_from_slice(alternates),
                State::BinaryUnion { alt1, alt2 } => pending.extend([*alt1, *alt2]),
                State::Fail => {}
                _ => found.push(id),
            }
        }
        found
    }

    /// All of `steps` as one step for each byte, to a state that does what all their ends do.
    fn merged(&mut self, steps: &[Transition]) -> Option<Vec<Transition>> {
        let mut ends: Vec<u8> = steps.iter().map(|step| step.end).collect();
        ends.extend(steps.iter().filter_map(|step| step.start.checked_sub(1)));
        ends.sort_unstable();
        ends.dedup();
        let mut known: HashMap<Vec<StateID>, StateID> = HashMap::new();
        let mut merged = Vec::new();
        let mut start = 0;
        for end in ends {
            let covers = |step: &&Transition| step.start <= start && end <= step.end;
            let mut nexts: Vec<StateID> =
                steps.iter().filter(covers).map(|step| step.next).collect();
            nexts.sort_unstable();
            nexts.dedup();
            let next = match (nexts.as_slice(), known.get(&nexts)) {
                ([], _) => None,
                ([only], _) => Some(*only),
                (_, Some(next)) => Some(*next),
                (_, None) => {
                    let next = self.builder.add_union(nexts.clone()).ok()?;
                    known.insert(nexts, next);
                    Some(next)
                }
            };
            merged.extend(next.map(|next| Transition { start, end, next }));
            start = end.saturating_add(1);
        }
        Some(merged)
    }
}
