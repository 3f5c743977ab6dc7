//! Bytes read as a script.

/// Reads numbers and pieces off the front of an input.
///
/// What is missing at the end reads as zero, so every input is a script. The
/// form is plain on purpose: a byte in the middle of an input keeps its
/// meaning when others are put in or taken out behind it, which is what makes
/// a fuzzer's changes small changes.
#[derive(Debug, Clone)]
pub(crate) struct Script<'data> {
    rest: &'data [u8],
}

impl<'data> Script<'data> {
    pub(crate) fn new(data: &'data [u8]) -> Self {
        Self { rest: data }
    }

    /// Whether all was read.
    pub(crate) fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.take(N);
        let mut array = [0; N];
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    /// A number below `end`; 0 if there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let number = if end <= 256 { usize::from(self.byte()) } else { usize::from(self.u16()) };
        number.checked_rem(end).unwrap_or(0)
    }

    /// One of `choices`, which are not empty.
    pub(crate) fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// The next `count` bytes, fewer at the end.
    pub(crate) fn take(&mut self, count: usize) -> &'data [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// A length in one byte, and as many bytes.
    pub(crate) fn piece(&mut self) -> &'data [u8] {
        let length = usize::from(self.byte());
        self.take(length)
    }

    /// A length in two bytes, and as many bytes.
    pub(crate) fn long_piece(&mut self) -> &'data [u8] {
        let length = usize::from(self.u16());
        self.take(length)
    }

    /// All the rest.
    pub(crate) fn rest(&mut self) -> &'data [u8] {
        std::mem::take(&mut self.rest)
    }
}

/// Cuts `whole` into pieces of the lengths that `cuts` says, again and again;
/// a length of 0 is an empty piece, but not the only one.
pub(crate) fn pieces<'data>(cuts: &[u8], whole: &'data [u8]) -> impl Iterator<Item = &'data [u8]> {
    let mut left = whole;
    let all_zero = cuts.iter().all(|cut| *cut == 0);
    let lengths: Vec<usize> =
        if all_zero { vec![1] } else { cuts.iter().map(|cut| scale(*cut)).collect() };
    lengths.into_iter().cycle().map_while(move |length| {
        let (piece, rest) = left.split_at(length.min(left.len()));
        let more = !left.is_empty();
        left = rest;
        more.then_some(piece)
    })
}

/// Lengths of 0 to 127 as they are, and of 256 bytes to 32 KiB beyond.
fn scale(cut: u8) -> usize {
    let cut = usize::from(cut);
    if cut < 128 { cut } else { (cut - 127) * 256 }
}
