//! Lengths to which values are cut.

/// The most bytes that the mark of a cut value takes.
pub(super) const MARK: usize = 160;

/// Values are cut to at least this many bytes.
pub(super) const MIN_LEVEL: usize = 96;

/// Values of at most this many bytes are never cut.
pub(super) const FLOOR: usize = MIN_LEVEL + MARK;

/// The length to which every value that is longer by more than [`MARK`] has to be cut, so that `total` bytes become at most `limit`. `None`
/// if it were less than [`MIN_LEVEL`]. `lengths` are those of the values of more than [`FLOOR`] bytes.
pub(super) fn level(lengths: &mut [usize], total: usize, limit: usize) -> Option<usize> {
    lengths.sort_unstable_by(|one, other| other.cmp(one));
    let mut longest = 0;
    for (count, len) in (1..).zip(lengths.iter()) {
        longest += len;
        let others = total.saturating_sub(longest);
        let next = lengths.get(count).copied().unwrap_or(0);
        let share = limit.saturating_sub(others) / count;
        // The next value is not longer than what these are cut to.
        if share >= next {
            return share.checked_sub(MARK).filter(|level| *level >= MIN_LEVEL);
        }
    }
    None
}

/// Divides `limit` bytes among parts of these lengths. A part that needs less than an equal share leaves the rest to the others.
pub(super) fn shares<const N: usize>(lens: [usize; N], limit: usize) -> [usize; N] {
    let mut shares = lens;
    let mut order: Vec<&mut usize> = shares.iter_mut().collect();
    order.sort_unstable();
    let (mut left, mut parts) = (limit, N);
    for share in order {
        *share = (*share).min(left / parts.max(1));
        left -= *share;
        parts -= 1;
    }
    shares
}

/// Cuts a text to `level` bytes if it is longer by more than a mark, and appends its length. Returns the number of cut texts, 0 or 1.
pub(crate) fn shorten_text(text: &mut String, level: usize) -> usize {
    let len = text.len();
    if len <= level.saturating_add(MARK) {
        return 0;
    }
    text.truncate(text.floor_char_boundary(level));
    text.push_str("… (");
    text.push_str(&len.to_string());
    text.push_str(" bytes)");
    1
}

/// Cuts the longest of these texts so that `total` bytes become at most `limit`, or as far as possible. Returns the number of cut texts.
pub(crate) fn shorten_texts<'a>(
    texts: impl Iterator<Item = &'a mut String>,
    total: usize,
    limit: usize,
) -> usize {
    let texts: Vec<_> = texts.filter(|text| text.len() > FLOOR).collect();
    let mut lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
    let level = level(&mut lengths, total, limit).unwrap_or(MIN_LEVEL);
    texts
        .into_iter()
        .map(|text| shorten_text(text, level))
        .sum()
}
