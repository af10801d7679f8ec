//! Makes wrong inputs out of right ones: bits, bytes, numbers, lengths, pieces, and for texts words and signs.
//!
//! What is changed keeps most of a valid input, because a decoder refuses random bytes at once. It knows two shapes, bytes and text, and no format; what a
//! format needs beyond that (a checksum, a tag) its target puts right afterwards. Called by `run`.

use crate::random::Random;

/// The longest input that is made, in bytes: what is longer than a limit is refused by its length alone.
pub const MAX_INPUT_BYTES: usize = 96 << 10;

/// Numbers at which code tends to go wrong.
const EDGES: [u64; 22] = [
    0,
    1,
    2,
    7,
    8,
    0x3f,
    0x40,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Texts at which parsers tend to go wrong.
const WORDS: [&str; 40] = [
    "0",
    "-1",
    "-0",
    "01",
    "1e9",
    "1.5",
    "0x10",
    "NaN",
    "NA",
    "null",
    "true",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999999999999",
    "\"\"",
    "\"18446744073709551615\"",
    "\"-1\"",
    "{}",
    "[]",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    ",",
    ";",
    "=",
    "&",
    "%00",
    "%",
    "..",
    "\n",
    "\r\n",
    "\0",
    "\u{1b}[2J",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{202e}",
    "é",
    "🔌",
    "\"",
    "'",
];

/// What inputs of a target are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// A binary encoding.
    Bytes,
    /// Text in words, numbers and signs.
    Text,
}

/// An input made of `corpus`; between one and eight changes, mostly one.
///
/// # Panics
/// Where the corpus is empty.
#[must_use]
pub fn mutate(random: &mut Random, shape: Shape, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = choose(random, corpus).clone();
    let mut changes = 1;
    while changes < 8 && random.once_in(3) {
        changes += 1;
    }
    for _ in 0..changes {
        match shape {
            Shape::Text if !random.once_in(4) => change_text(random, &mut input, corpus),
            Shape::Text | Shape::Bytes => change_bytes(random, &mut input, corpus),
        }
    }
    input.truncate(MAX_INPUT_BYTES);
    input
}

/// The shorter of two, mostly: short inputs cost less and have fewer bytes that mean nothing.
fn choose<'a>(random: &mut Random, corpus: &'a [Vec<u8>]) -> &'a Vec<u8> {
    let (one, other) = (random.pick(corpus), random.pick(corpus));
    if random.once_in(4) || one.len() <= other.len() { one } else { other }
}

/// A piece of `length` bytes at most.
fn piece(random: &mut Random, length: usize, most: usize) -> std::ops::Range<usize> {
    let from = random.below(length);
    let most = (length - from).min(most);
    from..from + random.below(most + 1)
}

fn change_bytes(random: &mut Random, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    if input.is_empty() {
        input.push(random.byte());
        return;
    }
    let place = random.below(input.len());
    match random.below(14) {
        0 => input[place] ^= 1 << random.below(8),
        1 => input[place] = random.byte(),
        2 => input[place] = input[place].wrapping_add(if random.once_in(2) { 1 } else { 255 }),
        3..=5 => set_number(random, input, place),
        6 => drop(input.drain(piece(random, input.len(), 40))),
        7 => {
            let length = 1 + random.below(16);
            let bytes: Vec<u8> = (0..length).map(|_| random.byte()).collect();
            drop(input.splice(place..place, bytes));
        }
        8 => {
            let copied = input[piece(random, input.len(), 200)].to_vec();
            drop(input.splice(place..place, copied));
        }
        9 => input.truncate(place),
        10 => input.extend((0..=random.below(9)).map(|_| random.byte())),
        11 => {
            // The beginning of one and the end of another.
            let other = choose(random, corpus);
            input.truncate(place);
            input.extend_from_slice(&other[random.below(other.len().max(1)).min(other.len())..]);
        }
        12 => {
            let other = choose(random, corpus);
            let taken = if other.is_empty() { Vec::new() } else { other[piece(random, other.len(), 64)].to_vec() };
            let end = (place + taken.len()).min(input.len());
            drop(input.splice(place..end, taken));
        }
        _ => {
            let length = 1 + random.below(32);
            let value = if random.once_in(2) { 0 } else { 0xff };
            input.iter_mut().skip(place).take(length).for_each(|byte| *byte = value);
        }
    }
}

/// Writes a number of a width of its own over what is there: an edge, or a little more or less than before.
fn set_number(random: &mut Random, input: &mut [u8], place: usize) {
    let width = *random.pick(&[1_usize, 2, 4, 8]);
    let Some(room) = input.get_mut(place..place + width) else { return };
    let mut before = [0; 8];
    before[..width].copy_from_slice(room);
    let before = u64::from_le_bytes(before);
    let value = match random.below(4) {
        0 => before.wrapping_add(1 + random.number() % 4),
        1 => before.wrapping_sub(1 + random.number() % 4),
        _ => *random.pick(&EDGES),
    };
    room.copy_from_slice(&value.to_le_bytes()[..width]);
}

/// Where words, numbers and single signs are.
fn tokens(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || byte >= 0x80;
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let begin = at;
        at += 1;
        if is_word(text[begin]) {
            while at < text.len() && is_word(text[at]) {
                at += 1;
            }
        }
        found.push(begin..at);
    }
    found
}

fn change_text(random: &mut Random, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    // Only so much of a long text is looked at, and another part each time.
    let window = piece(random, input.len().max(1), 2_048);
    let window = window.start.min(input.len())..window.end.min(input.len());
    let found = tokens(&input[window.clone()]);
    if found.is_empty() {
        input.extend_from_slice(random.pick(&WORDS).as_bytes());
        return;
    }
    let shift = |range: &std::ops::Range<usize>| range.start + window.start..range.end + window.start;
    let one = shift(random.pick(&found));
    // A number becomes a number, mostly: elsewhere it is refused by its form alone.
    if input[one.clone()].iter().all(u8::is_ascii_digit) && !random.once_in(4) {
        let number = if random.once_in(2) { *random.pick(&EDGES) } else { random.number() % 100_000 };
        drop(input.splice(one, number.to_string().into_bytes()));
        return;
    }
    match random.below(9) {
        0 => drop(input.drain(one)),
        1 => {
            let again = input[one.clone()].to_vec();
            drop(input.splice(one.start..one.start, again));
        }
        2 | 3 => drop(input.splice(one, random.pick(&WORDS).bytes())),
        4 => drop(input.splice(one.start..one.start, random.pick(&WORDS).bytes())),
        5 => {
            let other = shift(random.pick(&found));
            let taken = input[other].to_vec();
            drop(input.splice(one, taken));
        }
        6 => {
            let other = choose(random, corpus);
            let words = tokens(&other[..other.len().min(8_192)]);
            if !words.is_empty() {
                let taken = other[random.pick(&words).clone()].to_vec();
                drop(input.splice(one, taken));
            }
        }
        7 => {
            // A run of tokens out, or doubled: members of objects, rows, pairs.
            let (from, to) = (random.below(found.len()), 1 + random.below(12));
            let run = found[from].start + window.start..found[(from + to).min(found.len() - 1)].end + window.start;
            let taken = input[run.clone()].to_vec();
            if random.once_in(2) {
                drop(input.drain(run));
            } else {
                drop(input.splice(run.start..run.start, taken));
            }
        }
        _ => {
            let number = if random.once_in(2) { *random.pick(&EDGES) } else { random.number() % 100_000 };
            drop(input.splice(one, number.to_string().into_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_number_are_one_input_and_empty_items_are_no_trouble() {
        let corpus = vec![b"{\"a\": 17}".to_vec(), Vec::new(), b"x".to_vec()];
        for shape in [Shape::Bytes, Shape::Text] {
            for number in 0..50_000 {
                let made = mutate(&mut Random::of(7, number), shape, &corpus);
                assert!(made.len() <= MAX_INPUT_BYTES);
                if number % 1_000 == 0 {
                    assert_eq!(made, mutate(&mut Random::of(7, number), shape, &corpus));
                }
            }
        }
        assert_ne!(Random::of(1, 2).number(), Random::of(2, 1).number());
    }
}
