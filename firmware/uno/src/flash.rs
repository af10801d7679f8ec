//! The fixed texts, in flash: on an AVR whatever Rust can borrow lies in RAM, of which there are 2 kB.

use core::arch::asm;

use firmware_core::Text;

const COUNT: usize = Text::ALL.len();
const LENGTH: usize = total();

/// All texts, one after the other.
#[unsafe(link_section = ".progmem.data")]
static TEXTS: [u8; LENGTH] = texts();
/// Where each of them begins, and the last one ends.
#[unsafe(link_section = ".progmem.data")]
static STARTS: [u16; COUNT + 1] = starts();

const fn total() -> usize {
    let (mut sum, mut index) = (0, 0);
    while index < COUNT {
        sum += Text::ALL[index].as_bytes().len();
        index += 1;
    }
    sum
}

const fn starts() -> [u16; COUNT + 1] {
    let mut starts = [0; COUNT + 1];
    let mut index = 0;
    while index < COUNT {
        starts[index + 1] = starts[index] + Text::ALL[index].as_bytes().len() as u16;
        index += 1;
    }
    starts
}

const fn texts() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let (mut at, mut index) = (0, 0);
    while index < COUNT {
        let text = Text::ALL[index].as_bytes();
        let mut byte = 0;
        while byte < text.len() {
            bytes[at] = text[byte];
            at += 1;
            byte += 1;
        }
        index += 1;
    }
    bytes
}

/// Where a text begins and ends in [`TEXTS`].
fn place(text: Text) -> (u16, u16) {
    let start = (&raw const STARTS).cast::<u8>().wrapping_add(2 * text as usize);
    let word = |at: *const u8| u16::from_le_bytes([load(at), load(at.wrapping_add(1))]);
    (word(start), word(start.wrapping_add(2)))
}

/// Gives the bytes of a text.
pub(crate) fn for_each_byte(text: Text, mut sink: impl FnMut(u8)) {
    let (from, to) = place(text);
    for offset in from..to {
        sink(load((&raw const TEXTS).cast::<u8>().wrapping_add(usize::from(offset))));
    }
}

/// How many bytes a text has.
pub(crate) fn length(text: Text) -> u16 {
    let (from, to) = place(text);
    to.wrapping_sub(from)
}

fn load(address: *const u8) -> u8 {
    let byte;
    // SAFETY: reads a byte of flash, which always succeeds; the callers' addresses lie in the two tables above.
    unsafe { asm!("lpm {byte}, Z", byte = out(reg) byte, in("Z") address, options(pure, readonly, nostack, preserves_flags)) };
    byte
}
