//! Whoever answers may be an enemy: stalls, drips, junk, early words, names that would break what we write.
