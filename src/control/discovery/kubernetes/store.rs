//! Store: the slices of a namespace as they are now, by Service. Pure.
//!
//! Each Service has a number that changes whenever one of its slices does, so that a pool need
//! not look at what happens to others.

use super::slices::Slice;
use std::collections::{BTreeMap, HashMap};

/// The slices of a namespace.
#[derive(Debug, Default)]
pub(super) struct Store {
    services: HashMap<Box<str>, Service>,
    /// The Service of each slice.
    owners: HashMap<Box<str>, Box<str>>,
    /// The last number that was given.
    version: u64,
}

#[derive(Debug, Default)]
struct Service {
    version: u64,
    slices: BTreeMap<Box<str>, Slice>,
}

impl Store {
    /// Takes in a slice that is new or has changed.
    pub(super) fn put(&mut self, slice: Slice) {
        let owner = self.owners.get(&slice.name);
        if owner.is_some_and(|owner| *owner != slice.service) {
            self.remove(&slice.name.clone());
        }
        self.version += 1;
        let service = self.services.entry(slice.service.clone()).or_default();
        if service.slices.get(&slice.name) != Some(&slice) {
            service.version = self.version;
        }
        self.owners.insert(slice.name.clone(), slice.service.clone());
        service.slices.insert(slice.name.clone(), slice);
    }

    /// Takes out the slice called `name`, if it is there.
    pub(super) fn remove(&mut self, name: &str) {
        let Some(owner) = self.owners.remove(name) else { return };
        let Some(service) = self.services.get_mut(&owner) else { return };
        self.version += 1;
        service.version = self.version;
        service.slices.remove(name);
        if service.slices.is_empty() {
            self.services.remove(&owner);
        }
    }

    /// These are all: others are gone.
    pub(super) fn replace(&mut self, slices: Vec<Slice>) {
        let there: HashMap<&str, ()> = slices.iter().map(|slice| (&*slice.name, ())).collect();
        let gone = self.owners.keys().filter(|name| !there.contains_key(&***name));
        let gone: Vec<Box<str>> = gone.cloned().collect();
        gone.iter().for_each(|name| self.remove(name));
        slices.into_iter().for_each(|slice| self.put(slice));
    }

    /// The slices of a Service.
    pub(super) fn slices(&self, service: &str) -> impl Iterator<Item = &Slice> {
        self.services.get(service).into_iter().flat_map(|service| service.slices.values())
    }

    /// A number that is another whenever the slices of a Service are; 0: there are none.
    pub(super) fn version(&self, service: &str) -> u64 {
        self.services.get(service).map_or(0, |service| service.version)
    }
}
