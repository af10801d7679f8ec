//! Registers, interrupts off and on, sleep, the watchdog, and what happens on a panic.

use core::arch::asm;
use core::ptr::{read_volatile, write_volatile};

use embedded_hal::delay::DelayNs;

/// A register of one byte, by its address in data space.
#[derive(Clone, Copy, Debug)]
pub struct Register(u16);

impl Register {
    /// The register at this address; addresses are the data sheet's.
    pub(crate) const fn new(address: u16) -> Self {
        Self(address)
    }

    /// Its value.
    #[inline(always)]
    pub(crate) fn read(self) -> u8 {
        // SAFETY: every `Register` is a constant of this crate with an address from the data sheet; reading one byte there is defined.
        unsafe { read_volatile(self.0 as *const u8) }
    }

    /// Sets its value.
    #[inline(always)]
    pub(crate) fn write(self, value: u8) {
        // SAFETY: as in `read`; no register of this crate moves memory or the stack.
        unsafe { write_volatile(self.0 as *mut u8, value) }
    }

    /// Sets bits; not atomic unless interrupts are off or the register is left alone by them.
    #[inline(always)]
    pub(crate) fn set(self, bits: u8) {
        self.write(self.read() | bits);
    }

    /// Clears bits; as [`Register::set`].
    #[inline(always)]
    pub(crate) fn clear(self, bits: u8) {
        self.write(self.read() & !bits);
    }
}

const GPIOR0: Register = Register::new(0x3e);
const SMCR: Register = Register::new(0x53);
const MCUSR: Register = Register::new(0x54);
const SREG: Register = Register::new(0x5f);
const WDTCSR: Register = Register::new(0x60);

/// Runs `work` with interrupts off.
#[inline(always)]
pub(crate) fn without_interrupts<T>(work: impl FnOnce() -> T) -> T {
    let before = SREG.read();
    // SAFETY: clears a flag of the processor, which is restored below.
    unsafe { asm!("cli") };
    let result = work();
    SREG.write(before);
    result
}

/// Interrupts on, once everything they use is set up.
pub fn enable_interrupts() {
    // SAFETY: sets a flag of the processor; handlers touch only what their modules share under `without_interrupts`.
    unsafe { asm!("sei") };
}

/// Sleeps until the next interrupt unless `awake` says, with interrupts off, that there is something to do.
#[inline(always)]
pub fn sleep_unless(awake: impl FnOnce() -> bool) {
    // SAFETY: the instruction after `sei` is executed before any interrupt, so that one cannot slip between the question and the sleep.
    unsafe {
        asm!("cli");
        if awake() {
            asm!("sei");
        } else {
            // Idle mode: timer, converter and line go on.
            SMCR.write(1);
            asm!("sei", "sleep");
            SMCR.write(0);
        }
    }
}

/// Starts the watchdog, 2 s; it cannot be stopped again but by a reset.
pub fn start_watchdog() {
    without_interrupts(|| {
        // SAFETY: resets a counter.
        unsafe { asm!("wdr") };
        // After a reset by the watchdog this flag holds it at its shortest time.
        MCUSR.write(0);
        WDTCSR.write(0x18);
        // Within four cycles: on, reset only, 2^18 cycles of 128 kHz.
        WDTCSR.write(0x0f);
        // The shortest time, which runs after a reset by the watchdog, must not go on counting.
        feed_watchdog();
    });
}

/// Feeds the watchdog.
pub fn feed_watchdog() {
    // SAFETY: resets a counter.
    unsafe { asm!("wdr") };
}

/// Shows a number on a register that nothing else uses: an emulator sees it, nobody else does.
#[inline(always)]
pub fn mark(number: u8) {
    GPIOR0.write(number);
}

/// Waits by counting: 16 cycles a µs. Interrupts lengthen it.
#[derive(Clone, Copy, Debug)]
pub struct Delay;

impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        self.delay_us(ns / 1000 + 1);
    }

    fn delay_us(&mut self, us: u32) {
        for _ in 0..us {
            // SAFETY: does nothing; with the loop around it about 16 cycles.
            unsafe { asm!("nop", "nop", "nop", "nop", "nop", "nop") };
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: interrupts off for good.
    unsafe { asm!("cli") };
    crate::pins::open_relay();
    // Not fed: within 2 s the watchdog starts everything again, with open relay.
    loop {
        mark(0xff);
    }
}
