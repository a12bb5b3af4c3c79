//! Rules of both verbs: what changed since the accepted review, and what could not be audited.

pub(super) const REVIEW: &str = "was it asked for? then: user-audit accept";

toban_core::rules! {
    NEW_ACCESS = "new-access" in "change", never:
        "somebody holds a right that the last accepted review does not know", REVIEW;
    RECREATED_ACCESS = "recreated-access" in "change", never:
        "an account or a role was made anew under the name of one that the review knew", REVIEW;
    CHANGED_ACCESS = "changed-access" in "change", never:
        "a right is held under another name or by another path than in the review", REVIEW;
    REMOVED_ACCESS = "removed-access" in "change":
        "a right that the review knew is gone", "nothing; the next review records it";
    NEW_ACCOUNT = "new-account" in "change", never:
        "an account with a role came after the review", REVIEW;
    CHANGED_ACCOUNT = "changed-account" in "change", never:
        "an account has other roles or another state than in the review", REVIEW;
    REMOVED_ACCOUNT = "removed-account" in "change":
        "an account that the review knew is gone", "nothing; the next review records it";
    LAST_REVIEW = "review" in "review", never:
        "which accepted review the run is compared with; none, too old, or not readable",
        "review a pack (--pack DIR), then: user-audit accept PACK";
    NOT_AUDITED = "not-audited" in "audit", never:
        "a database could not be audited", "correct what the finding names, and audit again";
    PASSWORD_NONE = "password-none" in "password":
        "there is no password, so none was judged", "nothing, where another method lets in";
}
