//! Rules of `app`: an application's accounts.

toban_core::rules! {
    ADMIN = "admin" in "rights", by_name:
        "administrator", "review it, then: user-audit accept";
    ADMIN_COUNT = "admin-count" in "administrators":
        "more administrators than allowed, only one, or none", "take the role from some, or name a second administrator";
    ADMIN_ROLES = "admin-roles" in "administrators":
        "which names of roles make an administrator here, and which do not",
        "correct admin_roles in [audit] where a name is missing or too much";
    ADMIN_WITHOUT_MFA = "admin-without-mfa" in "administrators":
        "an administrator has no second factor", "have a second factor set up";
    ACCOUNTS = "accounts" in "accounts":
        "how many accounts were judged", "where there are none: is it the right table and filter? user-audit app --detect";
    UNUSED = "unused" in "use":
        "no login and no other use for longer than allowed", super::DISABLE;
    NEVER_USED = "never-used" in "use":
        "never used, and older than the time of grace", super::DISABLE;
    PASSWORD_OLD = "password-old" in "password":
        "the password is older than allowed", "have it changed";
    PASSWORD_DUE = "password-due" in "password":
        "the password will soon be too old", "have it changed";
    PASSWORD_UNKNOWN = "password-unknown" in "password":
        "when the password was set is not known", "have it changed";
    DISABLED_WITH_ROLES = "disabled-with-roles" in "roles":
        "disabled, deleted or locked, and still holds roles", "take the roles away";
    ORPHANED_ASSIGNMENT = "orphaned-assignment" in "roles":
        "the user or the role of an assignment is gone", "delete the assignment";
    DUPLICATE_ADDRESS = "duplicate-address" in "address":
        "the same address to a person: case, blanks, +tag, Unicode forms, look-alike letters",
        "merge the accounts, or take the roles from one";
    NO_ADDRESS = "no-address" in "address":
        "it has no e-mail address, so that nobody can be asked", "add the owner's address";
    BLANK_IN_ADDRESS = "blank-in-address" in "address":
        "the e-mail address begins or ends with a blank", "remove the blank";
    SHARED_ACCOUNT = "shared-account" in "address":
        "by its name an account of several people", "give each person an account";
    SERVICE_ACCOUNT = "service-account" in "address":
        "by its name a program's account, whose logins tell little of its use", "name its owner in an [[accept]] entry";
    OUTSIDE_DOMAIN = "outside-domain" in "address":
        "the address is of none of the domains that are allowed", "is this person still with us?";
    OS_ACCOUNT_OPEN = "os-account-open" in "system":
        "disabled in the application, and still able to log in to the system", "usermod -L -e 1 NAME, and remove its keys";
    OS_ACCOUNT_UNCLAIMED = "os-account-unclaimed" in "system", by_name:
        "a system account that opens belongs to nobody in the application",
        "name its person in [audit.os_accounts], or lock it";
    IMPOSSIBLE_DATE = "impossible-date" in "data":
        "a date in the future, infinity, epoch 0, or a password that is older than its account",
        "correct it: what is judged by it is not certain";
    ACTIVE_UNKNOWN = "active-unknown" in "data":
        "whether it is active is NULL; it was judged as active", "set it to yes or no";
}
