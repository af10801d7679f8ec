//! Copying and filling memory, by the shortest loops: the compiler's own take 1 kB of flash. Called by compiled code only.

use core::arch::asm;

/// Copies between places that do not overlap.
///
/// # Safety
/// C's `memcpy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: reads and writes `length` bytes where the caller allows it; in assembly, because the compiler makes a call of `memcpy` from a loop in Rust.
    unsafe {
        asm!(
            "0: sbiw {left}, 1", "brcs 1f", "ld {byte}, Z+", "st X+, {byte}", "rjmp 0b", "1:",
            left = inout(reg_iw) length => _, byte = out(reg) _, inout("X") to => _, inout("Z") from => _, options(nostack)
        );
    }
    to
}

/// Fills with one value.
///
/// # Safety
/// C's `memset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, value: i16, length: usize) -> *mut u8 {
    // SAFETY: as for `memcpy`.
    unsafe {
        asm!(
            "0: sbiw {left}, 1", "brcs 1f", "st X+, {byte}", "rjmp 0b", "1:",
            left = inout(reg_iw) length => _, byte = in(reg) value as u8, inout("X") to => _, options(nostack)
        );
    }
    to
}

/// Copies between places that may overlap: downwards where the destination lies above the source.
///
/// # Safety
/// C's `memmove`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if to.cast_const() <= from {
        // SAFETY: upwards is right where the destination lies below the source, whether or not they overlap.
        return unsafe { memcpy(to, from, length) };
    }
    // SAFETY: as for `memcpy`.
    unsafe {
        asm!(
            "0: sbiw {left}, 1", "brcs 1f", "ld {byte}, -Z", "st -X, {byte}", "rjmp 0b", "1:",
            left = inout(reg_iw) length => _, byte = out(reg) _, inout("X") to.wrapping_add(length) => _,
            inout("Z") from.wrapping_add(length) => _, options(nostack)
        );
    }
    to
}
