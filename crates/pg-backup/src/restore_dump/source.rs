//! What is restored: a dump of ours, or a file, folder or object that anybody made.

use crate::cli;
use crate::format::catalog::LATEST;
use crate::format::content::open_content;
use crate::format::dump::{DumpForm, DumpManifest, GLOBALS, ROWS, StoredDump, find_dump, unlock_dump};
use crate::format::id::Id;
use crate::rows::{self, Count};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toban_core::config::Config;
use toban_core::repo::Repos;
use toban_core::store::{self, Key, Store};
use toban_core::sum::Sum;
use toban_core::{Context, Error, Result};

/// The form, by the first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpFormat {
    /// For pg_restore, from a seekable file in parallel.
    Custom,
    /// For pg_restore, one job.
    Tar,
    /// pg_dump's directory format.
    Directory,
    /// For psql.
    Sql,
}

enum DumpLocation {
    Path(PathBuf),
    Object { store: Arc<dyn Store>, key: Key, expected: Option<Sum> },
}

/// A dump to restore.
pub(crate) struct DumpSource {
    /// The ID, path or URL, for messages.
    pub(crate) name: String,
    pub(crate) format: DumpFormat,
    /// Of a dump of ours: its manifest and where it was found.
    pub(crate) ours: Option<StoredDump>,
    place: DumpLocation,
    /// Compressed once more as a whole (`.dump.gz`, `.sql.gz`).
    gzip: bool,
}

impl DumpSource {
    /// Finds what the command line names.
    ///
    /// # Errors
    /// Usage when there is no such thing; Failed when it is no dump.
    pub(crate) fn find_dump(args: &cli::RestoreDump, config: &Config, repos: &Repos) -> Result<DumpSource> {
        let text = args.source.as_str();
        if text == LATEST || text.parse::<Id>().is_ok() {
            // `latest --replace app` of a repository that holds another database alone must not put that one there.
            let same = args.replace.as_deref().filter(|_| text == LATEST);
            let of = args.of.as_deref().or(same);
            return DumpSource::of_ours(unlock_dump(find_dump(repos, &args.repos.cluster, text, of)?)?);
        }
        if ["s3://", "az://", "gs://"].iter().any(|scheme| text.starts_with(scheme)) {
            return DumpSource::of_object(text, args, config);
        }
        let path = Path::new(text.strip_prefix("file://").unwrap_or(text));
        if path.is_dir() {
            return DumpSource::of_folder(path);
        }
        if !path.try_exists().doing(|| format!("look for {}", path.display()))? {
            let e = Error::usage(format!("{text:?} is neither the ID of a dump nor a file"));
            return Err(e.hint("`pg-backup list` shows the IDs; `latest` is the newest"));
        }
        DumpSource::from_content(text.to_string(), DumpLocation::Path(path.to_path_buf()))
    }

    /// A dump of ours.
    pub(super) fn of_ours(stored: StoredDump) -> Result<DumpSource> {
        let manifest = &stored.manifest;
        let key = manifest.stored_key(manifest.form.suffix())?;
        let (format, gzip) = match manifest.form {
            DumpForm::Custom => (DumpFormat::Custom, false),
            DumpForm::Sql => (DumpFormat::Sql, true),
        };
        let place = DumpLocation::Object {
            store: Arc::clone(&stored.repo.store),
            key,
            expected: Some(manifest.body_sum()?.clone()),
        };
        Ok(DumpSource { name: manifest.id.to_string(), format, place, gzip, ours: Some(stored) })
    }

    fn of_object(url: &str, args: &cli::RestoreDump, config: &Config) -> Result<DumpSource> {
        let Some((parent, object)) =
            url.rsplit_once('/').filter(|(parent, object)| !parent.ends_with('/') && !object.is_empty())
        else {
            return Err(
                Error::usage(format!("{url:?} names no object")).hint("s3://bucket/prefix/file.sql.gz")
            );
        };
        let known = config.repo.values().find(|r| url.starts_with(&r.url));
        let mut options = args.repos.store_options(known, None);
        // Other programs do write anew under a name, and mean the newest.
        options.s3.locks = None;
        let store = store::open(parent, &options)?;
        let key: Key = object.parse()?;
        DumpSource::from_content(url.to_string(), DumpLocation::Object { store, key, expected: None })
    }

    fn of_folder(path: &Path) -> Result<DumpSource> {
        if !path.join("toc.dat").is_file() {
            let e = Error::usage(format!("{} is a folder without toc.dat", path.display()));
            return Err(e.hint("a dump in directory format (pg_dump -Fd) has one"));
        }
        let place = DumpLocation::Path(path.to_path_buf());
        Ok(DumpSource {
            name: path.display().to_string(),
            format: DumpFormat::Directory,
            place,
            gzip: false,
            ours: None,
        })
    }

    fn from_content(name: String, place: DumpLocation) -> Result<DumpSource> {
        let mut source = DumpSource { name, format: DumpFormat::Sql, place, gzip: false, ours: None };
        let mut head = read_head(source.open_raw()?)?;
        if head.starts_with(b"\x1f\x8b") {
            source.gzip = true;
            head = read_head(source.open_plain()?)?;
        }
        source.format = detect_format(&head)
            .map_err(|e| Error::failed(format!("{} is no dump", source.name)).because(e))?;
        Ok(source)
    }

    fn open_raw(&self) -> Result<Box<dyn Read + Send + '_>> {
        match &self.place {
            DumpLocation::Path(path) => {
                let file = File::open(path).doing(|| format!("open {}", path.display()))?;
                Ok(Box::new(file))
            }
            DumpLocation::Object { store, key, expected } => {
                let missing = || Error::failed(format!("{key} is not in the repository"));
                match expected {
                    Some(sum) => open_content(&**store, key, sum),
                    None => store.get(key, 0)?.ok_or_else(missing),
                }
            }
        }
    }

    /// The dump without gzip around it; a dump of ours is compared with its sum on the way.
    pub(crate) fn open_plain(&self) -> Result<Box<dyn Read + Send + '_>> {
        let raw = self.open_raw()?;
        Ok(if self.gzip { Box::new(Unpacked::new(raw, self.name.clone())) } else { raw })
    }

    /// Where pg_restore can open it, when that is so without a copy.
    pub(crate) fn seekable_path(&self) -> Option<PathBuf> {
        match &self.place {
            _ if self.gzip => None,
            DumpLocation::Path(path) => Some(path.clone()),
            DumpLocation::Object { store, key, .. } => store.local_path(key).filter(|_| !key.is_encrypted()),
        }
    }

    /// Reads to the end a dump that carries its sum.
    pub(crate) fn check_sum(&self) -> Result<()> {
        std::io::copy(&mut self.open_raw()?, &mut std::io::sink()).doing(|| format!("read {}", self.name))?;
        Ok(())
    }

    /// The row counts that went with a dump of ours.
    pub(crate) fn read_counts(&self) -> Result<Option<Vec<Count>>> {
        self.read_part(ROWS)?.map(|packed| rows::unpack_counts(Cursor::new(packed))).transpose()
    }

    /// The roles and tablespaces that went with a dump of ours, as SQL.
    pub(crate) fn read_globals(&self) -> Result<Option<String>> {
        let Some(packed) = self.read_part(GLOBALS)? else { return Ok(None) };
        let mut sql = String::new();
        MultiGzDecoder::new(&packed[..]).read_to_string(&mut sql).doing(|| format!("read {GLOBALS}"))?;
        Ok(Some(sql))
    }

    fn read_part(&self, suffix: &str) -> Result<Option<Vec<u8>>> {
        let Some(StoredDump { manifest, repo, .. }) = &self.ours else { return Ok(None) };
        let Some(sum) = manifest.parts.get(suffix) else { return Ok(None) };
        let key = manifest.stored_key(suffix)?;
        let mut bytes = Vec::new();
        let mut content = open_content(&*repo.store, &key, sum)?;
        content.read_to_end(&mut bytes).doing(|| format!("read {key}"))?;
        Ok(Some(bytes))
    }

    /// The manifest of a dump of ours.
    pub(crate) fn manifest(&self) -> Option<&DumpManifest> {
        self.ours.as_ref().map(|s| &s.manifest)
    }
}

/// Enough to see a tar header's magic.
const HEAD: u64 = 512;

fn read_head(reader: impl Read) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(HEAD).read_to_end(&mut head).doing(|| "read the beginning".into())?;
    Ok(head)
}

fn detect_format(head: &[u8]) -> Result<DumpFormat> {
    let packed = [
        (&b"\x28\xb5\x2f\xfd"[..], "zstd"),
        (b"BZh", "bzip2"),
        (b"\xfd7zXZ", "xz"),
        (b"\x04\x22\x4d\x18", "lz4"),
    ];
    if let Some((_, program)) = packed.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(Error::failed(format!("it is compressed by {program}"))
            .hint(format!("unpack it with {program} -d first")));
    }
    match head {
        [] => Err(Error::failed("it is empty")),
        h if h.starts_with(b"PGDMP") => Ok(DumpFormat::Custom),
        h if h.get(257..262) == Some(b"ustar") => Ok(DumpFormat::Tar),
        h if h.contains(&0) => Err(Error::failed("it is neither SQL nor a form that pg_dump writes")),
        _ => Ok(DumpFormat::Sql),
    }
}

/// gunzip that calls a cut-off or damaged stream what it is.
pub(super) struct Unpacked<R: Read> {
    inner: MultiGzDecoder<R>,
    name: String,
}

impl<R: Read> Unpacked<R> {
    pub(super) fn new(inner: R, name: String) -> Unpacked<R> {
        Unpacked { inner: MultiGzDecoder::new(inner), name }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        self.inner.read(buf).map_err(|e| match e.kind() {
            UnexpectedEof if e.get_ref().is_none_or(|i| !i.is::<Error>()) => {
                Error::corrupt(format!("{} is cut off: its gzip stream has no end", self.name)).into()
            }
            InvalidData | InvalidInput => Error::corrupt(format!("{} is damaged: {e}", self.name)).into(),
            _ => e,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let mut tar = vec![b'x'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let said = |head: &[u8]| detect_format(head).map_err(|e| e.chain());
        assert_eq!(said(b"PGDMP\x01"), Ok(DumpFormat::Custom));
        assert_eq!(said(&tar), Ok(DumpFormat::Tar));
        assert_eq!(said(b"-- PostgreSQL"), Ok(DumpFormat::Sql));
        assert_eq!(said(b"\x28\xb5\x2f\xfd"), Err("it is compressed by zstd".into()));
        assert_eq!(said(b""), Err("it is empty".into()));
        assert!(said(b"\x7fELF\0").is_err());
    }
}
