//! Memory of inspections: what one leaves to the next on its thread.
//!
//! A transaction belongs to a request, the caches of the scan to a thread. A thread that is told
//! of a new config lets go of all, so that old rules do not outlive it here.

use std::cell::RefCell;
use std::sync::Arc;
use vanne_filters::FieldList;
use vanne_filters::waf::program::Program;
use vanne_filters::waf::transaction::{Caches, Shown, Still, Transaction};

/// Transactions that a thread keeps.
const SPARE_MAX: usize = 32;
/// What a transaction may leave, in bytes: one that needed more goes back.
const BYTES_MAX: usize = 256 * 1024;
/// What a transaction may hold while it waits, in bytes, before it lets go of what it can find out
/// again. That costs a few microseconds, and its memory has to grow anew: an ordinary GET needs less.
const WAITING_BYTES_MAX: usize = 64 * 1024;
/// Programs that a thread keeps caches for: a few MiB each.
const CACHES_MAX: usize = 4;
/// Header fields that need no memory of their own.
const FIELDS_FEW: usize = 64;

/// Name and value of a header field.
type Field<'a> = (&'a [u8], &'a [u8]);

/// A transaction that is over, at its place.
struct Left(Box<Transaction>);

#[derive(Default)]
struct Fields {
    text: Vec<u8>,
    /// Where each name and its value end in the text.
    ends: Vec<(usize, usize)>,
}

thread_local! {
    static SPARE: RefCell<Vec<Left>> = const { RefCell::new(Vec::new()) };
    static CACHES: RefCell<Vec<(usize, Caches)>> = const { RefCell::new(Vec::new()) };
    static FIELDS: RefCell<Fields> = RefCell::default();
}

/// An empty transaction of `program`.
#[must_use]
pub fn take(program: &Arc<Program>) -> Box<Transaction> {
    let spare = SPARE.with_borrow_mut(|spare| {
        let is_of_it = |Left(one): &Left| Arc::ptr_eq(one.program(), program);
        spare.iter().rposition(is_of_it).map(|at| spare.swap_remove(at))
    });
    match spare {
        Some(Left(mut transaction)) => {
            transaction.begin(program);
            transaction
        }
        None => Box::new(Transaction::new(Arc::clone(program))),
    }
}

/// Keeps the memory of `transaction`, which is over.
pub fn give(transaction: Box<Transaction>) {
    if transaction.memory_bytes() > BYTES_MAX {
        return;
    }
    let keep = |spare: &RefCell<Vec<Left>>| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(Left(transaction));
        }
    };
    // A thread that ends keeps none.
    SPARE.try_with(keep).unwrap_or_default();
}

/// `transaction` waits for what may `still` come, perhaps for long: it lets go of much if it holds
/// much. Of matches it keeps what is `shown`.
pub fn rest(transaction: &mut Transaction, still: Still, shown: Shown<'_>) {
    if transaction.memory_bytes() > WAITING_BYTES_MAX {
        transaction.rest(still, shown);
    }
}

/// Lets go of all that this thread keeps.
pub fn forget() {
    SPARE.with_borrow_mut(Vec::clear);
    CACHES.with_borrow_mut(Vec::clear);
}

/// Runs `work` with this thread's caches for `program`.
pub fn with_caches<T>(program: &Arc<Program>, work: impl FnOnce(&mut Caches) -> T) -> T {
    // Caches of another program at the same address are found out by themselves.
    let key = Arc::as_ptr(program).addr();
    let mut of_it = CACHES.with_borrow_mut(|all| {
        let at = all.iter().position(|(other, _)| *other == key);
        match at {
            Some(at) => all.swap_remove(at).1,
            None => Caches::new(program),
        }
    });
    let done = work(&mut of_it);
    CACHES.with_borrow_mut(|all| {
        if all.len() == CACHES_MAX {
            all.remove(0);
        }
        all.push((key, of_it));
    });
    done
}

/// Runs `work` with `fields` in order, after a Host if there is another one than in them.
pub fn with_fields<T>(
    fields: &dyn FieldList,
    host: Option<&[u8]>,
    work: impl FnOnce(&[Field<'_>]) -> T,
) -> T {
    FIELDS.with_borrow_mut(|Fields { text, ends }| {
        text.clear();
        ends.clear();
        let mut add = |name: &[u8], value: &[u8]| {
            text.extend_from_slice(name);
            let name_end = text.len();
            text.extend_from_slice(value);
            ends.push((name_end, text.len()));
        };
        if let Some(host) = host {
            add(b"host", host);
        }
        fields.each(&mut add);
        let mut from = 0;
        let mut fields = ends.iter().map(|&(name_end, end)| {
            let name = text.get(from..name_end).unwrap_or_default();
            from = end;
            (name, text.get(name_end..end).unwrap_or_default())
        });
        if ends.len() > FIELDS_FEW {
            return work(&fields.collect::<Vec<_>>());
        }
        let few: arrayvec::ArrayVec<Field<'_>, FIELDS_FEW> = fields.by_ref().collect();
        work(&few)
    })
}
