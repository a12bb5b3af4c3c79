//! A check against planted faults: each must turn it, and when the fault is gone it must be content again.

use crate::{Dice, rounds, seed};

/// A fault that was planted in `L`, and how it is undone.
pub struct Planted<L> {
    /// What was done, for people.
    pub what: String,
    /// The check that must complain; empty where the tool cannot judge at all.
    pub check: &'static str,
    /// How the tool is asked, on top of the usual.
    pub args: Vec<String>,
    undo: Box<dyn FnOnce(&L)>,
}

impl<L: 'static> Planted<L> {
    /// One that `undo` undoes.
    pub fn new(what: impl Into<String>, check: &'static str, undo: impl FnOnce(&L) + 'static) -> Planted<L> {
        Planted { what: what.into(), check, args: Vec::new(), undo: Box::new(undo) }
    }

    /// The tool is asked with these words, too.
    #[must_use]
    pub fn asked_with(mut self, args: impl IntoIterator<Item = String>) -> Planted<L> {
        self.args.extend(args);
        self
    }

    /// Another check must complain.
    #[must_use]
    pub fn seen_by(mut self, check: &'static str) -> Planted<L> {
        self.check = check;
        self
    }

    /// Before it is undone `first` is done.
    #[must_use]
    pub fn first(self, first: impl FnOnce(&L) + 'static) -> Planted<L> {
        let undo = self.undo;
        let both = move |lab: &L| {
            first(lab);
            undo(lab);
        };
        Planted { undo: Box::new(both), ..self }
    }

    /// After it was undone `then` is done.
    #[must_use]
    pub fn then(self, then: impl FnOnce(&L) + 'static) -> Planted<L> {
        let undo = self.undo;
        let both = move |lab: &L| {
            undo(lab);
            then(lab);
        };
        Planted { undo: Box::new(both), ..self }
    }
}

/// What faults are planted in.
pub trait Checked: Sized {
    /// Fails unless the check complains of `planted`.
    fn turned(&self, planted: &Planted<Self>);
    /// Fails unless the check has nothing to say.
    fn content(&self, when: &str);
}

/// A kind of fault: its name, and what plants one with numbers of the dice.
pub type Plant<L> = (&'static str, fn(&L, &mut Dice) -> Planted<L>);

/// Plants one kind after the other, `step` apart, from a random one on.
pub fn plant_each<L: Checked>(lab: &L, kinds: &[Plant<L>], default_rounds: usize, step: usize) {
    let mut dice = Dice::new(seed());
    let start = dice.index(kinds.len());
    for round in 0..rounds(default_rounds) {
        let (kind, plant) = kinds[(start + round * step) % kinds.len()];
        eprintln!("round {round}: {kind}");
        let planted = plant(lab, &mut dice);
        lab.turned(&planted);
        (planted.undo)(lab);
        lab.content(&format!("after: {}", planted.what));
    }
}
