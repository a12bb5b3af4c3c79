//! Whether the WAL of a segment ends by a switch: then the rest of it is zeros, however little of it is there.

use super::{Record, Records, Segment, What};
use std::io::{self, Write};
use std::ops::ControlFlow;

/// Takes the bytes of a segment from its first on, one page in memory at a time.
pub struct Ending {
    segment: Segment,
    records: Records,
    page: Vec<u8>,
    /// Bytes of the pages that were looked at.
    seen: u64,
    switched: bool,
    /// Nothing counts any more: the WAL has ended.
    over: bool,
}

impl Ending {
    /// Of `segment`, before its first byte.
    pub fn of_segment(segment: Segment) -> Ending {
        Ending {
            segment,
            records: Records::default(),
            page: Vec::new(),
            seen: 0,
            switched: false,
            over: false,
        }
    }

    /// Whether the last record that came is a whole XLOG_SWITCH. A page that is not whole counts with zeros behind.
    pub fn is_switch(mut self) -> bool {
        if let Some(size) = self.page_size().filter(|_| !self.page.is_empty()) {
            self.page.resize(size, 0);
            self.look_at_page();
        }
        self.switched
    }

    /// Bytes of a page, as the segment's own header has them.
    fn page_size(&self) -> Option<usize> {
        self.records.page_size().or_else(|| Records::page_size_of(&self.page))
    }

    fn look_at_page(&mut self) {
        let (address, page) = (self.segment.start().0 + self.seen, std::mem::take(&mut self.page));
        self.seen += page.len() as u64;
        let switched = &mut self.switched;
        let mut each = |record: Record| {
            *switched = record.what == What::Switch;
            ControlFlow::<()>::Continue(())
        };
        let on = self.records.one_page(address, &page, &mut each);
        self.over = !matches!(on, ControlFlow::Continue(true));
    }
}

impl Write for Ending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.over {
            return Ok(bytes.len());
        }
        let wanted = self.page_size().unwrap_or(super::Header::BYTES);
        let taken = wanted.saturating_sub(self.page.len()).min(bytes.len());
        self.page.extend_from_slice(&bytes[..taken]);
        match self.page_size() {
            Some(size) if self.page.len() == size => self.look_at_page(),
            // Not the first page of a segment: nothing is known of it.
            None if self.page.len() >= super::Header::BYTES => self.over = true,
            _ => {}
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
