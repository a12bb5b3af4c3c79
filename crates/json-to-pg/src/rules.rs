//! Every kind of finding of `plan`, with its id.

toban_core::rules! {
    PLAIN_PASSWORD = "plain-password" in "secrets", never:
        "passwords stand in plain text in the file",
        "let the application hash them, or drop the path; it is asked in the plan";
    PASSWORD_SCHEME = "password-scheme" in "secrets":
        "how the passwords of a path are hashed; they move byte for byte",
        "see that the application's library knows each scheme";
    SAMPLE_DATA = "sample-data" in "records":
        "texts of sample data: [サンプル], example.com, test, dummy",
        "answer in the plan whether these records go to production";
    DOUBLED_KEY = "doubled-key" in "records":
        "a key appears twice in an object, with equal values",
        "nothing for the move; look at what writes the file";
    REPEATED_RECORD = "repeated-record" in "records":
        "a record appears twice, equal; one row is made",
        "nothing for the move; look at what writes the file";
    UNNAMED_RECORD = "unnamed-record" in "records":
        "records without an id; none is invented",
        "give them ids in the file, or let the table have no key";
    NO_RECORDS = "no-records" in "records":
        "the file is an empty list",
        "compare it with the newest backup: a file that could not be read is often saved empty";
    MIXED_TIMES = "mixed-times" in "values":
        "times with and without a zone stand in one path",
        "see that the zone which the plan names is right for those without";
    UNREADABLE_TIME = "unreadable-time" in "values":
        "texts are meant as times and cannot be read as such",
        "correct them in the file; in a column of texts they stay as they are";
    PRINTED_VALUE = "printed-value" in "values":
        "texts that a program made of a value by mistake: {'a': 1}, None, undefined",
        "look at what writes the file; they move as the texts that they are";
    ROUND_NUMBER = "beyond-double" in "values":
        "whole numbers beyond 2^53: programs that read them as doubles have changed them before",
        "compare some with where they come from";
    ORDER_LOST = "order-lost" in "values":
        "the records do not stand in the order of their ids, and a table has none",
        "plan with --keep-order where the order means something";
    NULL_OR_ABSENT = "null-or-absent" in "values":
        "a member is null in some records and not there in others; a column has NULL for both",
        "export writes null for both";
    DETAILS_DIFFER = "details-differ" in "files":
        "two files share ids and speak of different things under them",
        "do not join them by id";
}
