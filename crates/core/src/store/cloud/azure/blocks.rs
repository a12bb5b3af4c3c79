//! Long bodies: blocks, two of them under way at a time, and one commit.
//!
//! Nothing is visible before the commit, and blocks that are not committed go by themselves a week after the last was
//! written ("Put Block", remarks). There is no upload to begin or to abort.

use super::{Azure, AzureDialect, borrowed, metadata_headers};
use crate::error::{Context, Result};
use crate::shutdown;
use crate::store::ask::{Need, Refusal, send_until_answered};
use crate::store::cloud::dialect::make_request;
use crate::store::cloud::upload::{PlannedPut, judge_refused_end};
use crate::store::{Stored, parts, reactor};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use object_store::client::HttpRequest;
use percent_encoding::utf8_percent_encode;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Uploads `first` and all of `body` unless the name is taken at the commit.
pub(super) fn put_blocks(
    cloud: &Azure,
    put: &PlannedPut<'_>,
    first: Vec<u8>,
    body: &mut dyn Read,
) -> Result<Stored> {
    let mut blocks = Blocks { cloud, put, under_way: VecDeque::new(), ids: Vec::new(), ended: 0 };
    let (mut block, mut sent) = (first, 0);
    while !block.is_empty() {
        shutdown::check()?;
        sent += block.len() as u64;
        blocks.send_block(block)?;
        block = put.read_next(body, parts::size_at(sent))?;
    }
    blocks.commit(sent)
}

struct Blocks<'a> {
    cloud: &'a Azure,
    put: &'a PlannedPut<'a>,
    under_way: VecDeque<BlockFlight>,
    ids: Vec<String>,
    ended: usize,
}

impl Blocks<'_> {
    fn send_block(&mut self, block: Vec<u8>) -> Result<()> {
        // Two on their way and one being read, as with S3: memory must not grow with the body.
        if self.under_way.len() == 2 {
            self.finish_oldest()?;
        }
        // With our mark, so that blocks of two writers of one name are never mixed; of one length, as the service wants.
        let id = BASE64_STANDARD.encode(format!("{}{:06}", self.put.mark, self.ids.len()));
        let (line, backoff, size) =
            (Arc::clone(self.cloud.get_line()?), self.cloud.backoff, block.len() as u64);
        let request = line.dialect.put_block(&self.put.path, &id, block)?;
        let task = reactor::reactor_handle()?.spawn(async move {
            let send = || line.attempt(Need::Write, request.clone());
            send_until_answered(backoff, size, send).await.map(|_| ())
        });
        self.ids.push(id);
        self.under_way.push_back(BlockFlight(task));
        Ok(())
    }

    fn finish_oldest(&mut self) -> Result<()> {
        let Some(mut flight) = self.under_way.pop_front() else { return Ok(()) };
        self.ended += 1;
        let block = || format!("{}: send block {}", self.put.doing, self.ended);
        reactor::wait_for(&mut flight.0)?.doing(block)?.map_err(|r| r.error).doing(block)
    }

    /// The blob becomes visible here and not before, in one request that also decides whether the name is free
    /// ("Put Block List", `If-None-Match`), whatever was there when the upload began.
    fn commit(mut self, size: u64) -> Result<Stored> {
        while !self.under_way.is_empty() {
            self.finish_oldest()?;
        }
        let effort = (32 << 20) + size / 256;
        let make = |d: &AzureDialect| d.put_block_list(self.put, &self.ids);
        match self.cloud.send_request(Need::Write, effort, &self.put.doing, make) {
            Ok(_) => Ok(Stored::New),
            // An earlier attempt of ours may have used the blocks up before its answer was lost.
            Err(refusal) if refusal.code == "InvalidBlockList" && refusal.attempts > 1 => {
                let code = "BlobAlreadyExists".to_string();
                judge_refused_end(self.cloud, self.put, Refusal { code, ..refusal })
            }
            Err(refusal) => judge_refused_end(self.cloud, self.put, refusal),
        }
    }
}

impl AzureDialect {
    fn put_block(&self, path: &str, id: &str, block: Vec<u8>) -> Result<HttpRequest> {
        let id = utf8_percent_encode(id, super::IN_QUERY);
        let url = format!("{}?comp=block&blockid={id}", self.blob_url(path));
        make_request(Method::PUT, &url, &[], block)
    }

    fn put_block_list(&self, put: &PlannedPut<'_>, ids: &[String]) -> Result<HttpRequest> {
        let metadata = metadata_headers(&put.metadata);
        let mut headers = borrowed(&metadata);
        headers.push(("if-none-match", "*"));
        let ids: String = ids.iter().map(|id| format!("<Uncommitted>{id}</Uncommitted>")).collect();
        let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{ids}</BlockList>");
        make_request(Method::PUT, &format!("{}?comp=blocklist", self.blob_url(&put.path)), &headers, list)
    }
}

/// A block on its way; given up with its owner.
struct BlockFlight(JoinHandle<Result<(), Refusal>>);

impl Drop for BlockFlight {
    fn drop(&mut self) {
        self.0.abort();
    }
}
