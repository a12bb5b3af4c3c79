//! Dumps of others that are cut off, in every form: no cut may restore less than was dumped with status 0.

use crate::world::World;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Dice, rounds, seed};

const GONE: &str = "whether they are whole is not known";

/// A form of dump, and the options that make it.
type Form = (&'static str, &'static [&'static str]);

const OLD: &[Form] = &[
    ("sql", &["-Fp"]),
    ("custom", &["-Fc"]),
    ("custom as it is", &["-Fc", "-Z0"]),
    ("tar", &["-Ft"]),
    ("folder", &["-Fd"]),
    ("folder as it is", &["-Fd", "-Z0"]),
    ("folder of inserts", &["-Fd", "--inserts"]),
];

const NEW: &[Form] = &[
    ("folder by lz4", &["-Fd", "--compress=lz4"]),
    ("folder by zstd", &["-Fd", "--compress=zstd"]),
    ("custom by lz4", &["-Fc", "--compress=lz4"]),
    ("custom by zstd", &["-Fc", "--compress=zstd"]),
    ("folder of inserts as it is", &["-Fd", "-Z0", "--rows-per-insert=7"]),
];

struct Cutter {
    world: World,
    before: String,
    forms: Vec<(&'static str, PathBuf)>,
}

impl Cutter {
    fn new(major: u32, forms: &[Form]) -> Cutter {
        let world = World::major(major);
        world.app();
        world.pg.psql(
            "app",
            "create table last (x integer); insert into last values (1), (2), (3); \
             select lo_from_bytea(4242, decode(repeat('c0ffee', 3000), 'hex')), lo_from_bytea(4243, 'short')",
        );
        let before = world.text("app", &[]);
        let made = forms.iter().map(|(name, options)| (*name, dumped(&world, name, options)));
        let forms = made.collect();
        Cutter { world, before, forms }
    }

    /// Restores `form` with `file` of it cut to `length` bytes, or taken away. It is refused, or all is there, or what
    /// is not known is said.
    fn cut(&self, name: &str, form: &Path, file: &Path, length: Option<u64>) {
        let whole = fs::read(file).expect("read");
        match length {
            Some(length) => fs::write(file, &whole[..usize::try_from(length).expect("short")]).expect("cut"),
            None => fs::remove_file(file).expect("remove"),
        }
        let ran = self.world.run(&["restore-dump", &form.display().to_string(), "--into", "beside"]);
        let what = format!("{name}: {} of {} bytes cut to {length:?}: {ran:?}", file.display(), whole.len());
        match ran.status {
            Some(0) if ran.stderr.contains(GONE) && file.to_string_lossy().contains("blob_") => {}
            Some(0) => assert!(self.world.text("beside", &[]) == self.before, "{what}"),
            Some(1 | 2 | 5) => assert_eq!(self.world.databases(), ["app"], "{what}"),
            _ => panic!("{what}"),
        }
        self.world.pg.psql("postgres", "drop database if exists beside");
        fs::write(file, whole).expect("put back");
    }

    fn form(&self, name: &str) -> &Path {
        &self.forms.iter().find(|(n, _)| *n == name).expect("a form").1
    }
}

fn dumped(world: &World, name: &str, options: &[&str]) -> PathBuf {
    let path = world.path(&name.replace(' ', "-"));
    let mut dump = Command::new(world.pg.bin("pg_dump"));
    dump.args(options).arg("-d").arg(world.pg.conninfo("app")).arg("-f").arg(&path);
    assert!(dump.status().expect("run pg_dump").success(), "{name}");
    path
}

fn files(form: &Path) -> Vec<PathBuf> {
    if form.is_file() {
        return vec![form.to_path_buf()];
    }
    let mut files: Vec<_> = fs::read_dir(form).expect("list").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Each file of each folder: emptied, cut in the middle, and taken away.
#[test]
fn folders_with_a_file_cut_off_are_refused() {
    for (major, forms) in [(15, &OLD[4..]), (18, &[NEW[0], NEW[1], NEW[4]])] {
        let cutter = Cutter::new(major, forms);
        for (name, form) in &cutter.forms {
            for file in files(form) {
                let length = fs::metadata(&file).expect("there").len();
                [Some(0), Some(length / 2), None]
                    .into_iter()
                    .for_each(|cut| cutter.cut(name, form, &file, cut));
            }
        }
    }
}

#[test]
fn no_cut_of_any_form_restores_less_with_status_0() {
    let mut dice = Dice::new(seed());
    let cutters = [Cutter::new(15, OLD), Cutter::new(18, NEW)];
    for _ in 0..rounds(40) {
        let cutter = &cutters[dice.index(2)];
        let (name, form) = &cutter.forms[dice.index(cutter.forms.len())];
        let files = files(form);
        let file = &files[dice.index(files.len())];
        let length = fs::metadata(file).expect("there").len();
        // Half of the cuts fall where a file ends, and where one that is short looks whole.
        let cut = if dice.below(2) == 0 { length.saturating_sub(dice.below(12)) } else { dice.below(length) };
        cutter.cut(name, form, file, Some(cut));
    }
}

/// What a crashed disk leaves: blocks of zeros where there were rows. psql passes over them in silence.
#[test]
fn rows_that_became_zeros_are_noticed() {
    let cutter = Cutter::new(15, &[OLD[0], OLD[5]]);
    let (sql, folder) = (cutter.form("sql"), cutter.form("folder as it is"));
    let rows =
        files(folder).into_iter().find(|f| fs::read(f).expect("read").starts_with(b"1\tuser")).expect("rows");
    for (form, file, at) in [(sql, sql, "500\tuser"), (folder, rows.as_path(), "500\tuser")] {
        let mut bytes = fs::read(file).expect("read");
        let at = bytes.windows(at.len()).position(|w| w == at.as_bytes()).expect("the row");
        bytes[at..at + 512].fill(0);
        fs::write(file, bytes).expect("write");
        let args = ["restore-dump", &form.display().to_string(), "--into", "beside"];
        cutter.world.run(&args).refused(5, "NUL");
        assert_eq!(cutter.world.databases(), ["app"]);
    }
}
