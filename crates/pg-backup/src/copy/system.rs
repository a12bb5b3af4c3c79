//! `cluster.json` goes over first: what follows belongs to its system, and to no other server's.

use super::CopyJob;
use toban_core::repo::cluster;
use toban_core::repo::keys::System;
use toban_core::store::{Attrs, Key, read_small};
use toban_core::{Context, Error, Result};

impl CopyJob<'_> {
    /// The systems of the source; each is known over there afterwards.
    ///
    /// # Errors
    /// Failed when the target holds other systems of this cluster and none of these; Corrupt when it says other facts of
    /// the same system.
    pub(super) fn claim_systems(&self) -> Result<Vec<System>> {
        let (from, to) = (&*self.pair.from.store, &*self.pair.to.store);
        let systems = System::all(from, self.cluster)?;
        let others = System::all(to, self.cluster)?;
        let is_strange =
            !others.is_empty() && !systems.is_empty() && !systems.iter().any(|s| others.contains(s));
        if let Some(other) = others.first().filter(|_| is_strange && !self.new_system) {
            let e = Error::failed(format!(
                "{} holds cluster {} of system {}, {} that of system {}",
                self.pair.to.name, self.cluster, other.identifier, self.pair.from.name, systems[0].identifier
            ));
            let hint =
                "is it the right repository? a cluster that was rebuilt or upgraded needs --new-system once";
            return Err(e.hint(hint));
        }
        for system in &systems {
            let Some(facts) = cluster::of(from, system)? else { continue };
            match cluster::of(to, system)? {
                Some(there) if there != facts => {
                    let name = &self.pair.to.name;
                    let e = format!(
                        "cluster.json of system {} in {name} is not the same as in {}",
                        system.identifier, self.pair.from.name
                    );
                    return Err(Error::corrupt(e));
                }
                None if !self.dry_run => self.copy_facts(&system.key(cluster::NAME))?,
                _ => {}
            }
        }
        Ok(systems)
    }

    /// Byte by byte, as all that goes over.
    fn copy_facts(&self, key: &Key) -> Result<()> {
        let Some(json) = read_small(&*self.pair.from.store, key, cluster::LARGEST)? else { return Ok(()) };
        let put = self.pair.to.store.put(key, &mut &json[..], &Attrs::new());
        put.map(drop).doing(|| format!("store {key} in {}", self.pair.to.name))
    }
}
