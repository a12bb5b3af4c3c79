//! What became of the plan: outcomes of objects that are known only once the target was asked. The plan itself stays as it
//! was printed; where an outcome is another one than planned, the report says both.

use crate::model::{Mode, Object, ObjectKind, Outcome, Plan};
use crate::source::salvage::SalvageLoss;

/// The outcomes of a run so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    outcomes: Vec<Object>,
}

/// An object with its outcome, and the planned one where that is another.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) object: Object,
    pub(crate) planned: Option<Outcome>,
}

impl Ledger {
    /// Of a file that does not give these.
    pub(crate) fn of_losses(losses: &[SalvageLoss]) -> Ledger {
        // Each is an object of its own, also where several are about one table.
        let object = |(n, loss): (usize, &SalvageLoss)| {
            Object::skipped(ObjectKind::Salvage, &format!("{} ({})", loss.name, n + 1), loss.what.clone())
        };
        Ledger { outcomes: losses.iter().enumerate().map(object).collect() }
    }

    /// Notes an outcome; of one object the last one counts.
    pub(crate) fn note(&mut self, outcome: Object) {
        self.outcomes.push(outcome);
    }

    /// Notes several.
    pub(crate) fn note_all(&mut self, outcomes: Vec<Object>) {
        self.outcomes.extend(outcomes);
    }

    /// The plan as it was carried out, for who compares the copy later.
    pub(crate) fn carried_out(&self, plan: &Plan) -> Plan {
        plan.with_outcomes(&self.outcomes)
    }

    /// Every object of the plan with its outcome. What stands in the plan as a part of a table is planned to be made.
    pub(crate) fn settle(&self, plan: &Plan) -> Vec<Settled> {
        let carried_out = self.carried_out(plan);
        let planned = plan.objects.iter().map(|o| o.outcome).chain(std::iter::repeat(Outcome::Created));
        let settle = |(object, planned): (Object, Outcome)| {
            // Both are made, and the kind of it is known only afterwards.
            let made = (planned, object.outcome) == (Outcome::Created, Outcome::Translated);
            // What is found out about the file is nobody's plan.
            let remark = matches!(object.kind, ObjectKind::IntegrityCheck | ObjectKind::Salvage);
            let differs = plan.mode == Mode::Create && planned != object.outcome && !made && !remark;
            Settled { object, planned: differs.then_some(planned) }
        };
        carried_out.objects.into_iter().zip(planned).map(settle).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FORMAT, SourceFile};

    #[test]
    fn an_outcome_beside_the_plan_is_told_with_what_was_planned() {
        let view = Object {
            kind: ObjectKind::View,
            name: "v".into(),
            outcome: Outcome::Translated,
            sql: Some("v".into()),
            accepted: true,
            ..Object::default()
        };
        let plan = Plan {
            format: FORMAT,
            schema: "public".into(),
            mode: Mode::Create,
            source: SourceFile::default(),
            tables: Vec::new(),
            objects: vec![view.clone(), Object::skipped(ObjectKind::Default, "t.a", "not translated")],
        };
        let before = plan.clone();
        let mut ledger = Ledger::default();
        ledger.note(view.with_outcome(Outcome::Translated, "not compared"));
        ledger.note(view.with_outcome(Outcome::Written, "1 rows in SQLite, 2 in PostgreSQL"));
        ledger.note(Object::refused(ObjectKind::Index, "i", "too long"));
        ledger.note(Object { outcome: Outcome::Translated, ..Object::skipped(ObjectKind::Check, "t.c", "") });
        let settled = ledger.settle(&plan);
        let told: Vec<_> =
            settled.iter().map(|s| (s.object.name.as_str(), s.object.outcome, s.planned)).collect();
        assert_eq!(
            told,
            [
                ("v", Outcome::Written, Some(Outcome::Translated)),
                ("t.a", Outcome::Skipped, None),
                ("i", Outcome::Skipped, Some(Outcome::Created)),
                ("t.c", Outcome::Translated, None),
            ]
        );
        assert!(settled[0].object.accepted, "what a person accepted stays accepted");
        assert_eq!(plan, before);
    }
}
