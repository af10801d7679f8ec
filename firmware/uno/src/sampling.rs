//! The interrupt that samples the current, adds up, and keeps the time: 4,000 times a second by timer 1.
//!
//! Each time it takes the conversion that the time before has started, and starts the next. Whole windows are handed over to the main loop; one that it has not
//! taken grows instead, so that nothing is lost while it is busy. Nothing else happens here.

use core::cell::UnsafeCell;

use firmware_core::{Adc, MIDDLE, Millis, SAMPLE_RATE_HZ, TOP, WINDOW_SAMPLES, Window};

use crate::cpu::{Register, without_interrupts};

const TIMSK1: Register = Register::new(0x6f);
const ADCL: Register = Register::new(0x78);
const ADCH: Register = Register::new(0x79);
const ADCSRA: Register = Register::new(0x7a);
const ADMUX: Register = Register::new(0x7c);
const DIDR0: Register = Register::new(0x7e);
const TCCR1A: Register = Register::new(0x80);
const TCCR1B: Register = Register::new(0x81);
const OCR1AL: Register = Register::new(0x88);
const OCR1AH: Register = Register::new(0x89);

const CLOCK_HZ: u32 = 16_000_000;
const TICK_CYCLES: u16 = (CLOCK_HZ / SAMPLE_RATE_HZ as u32) as u16;
const TICKS_PER_MS: u8 = (SAMPLE_RATE_HZ / 1000) as u8;
/// The main loop is woken at least this often, in ms.
const WAKE_MS: u8 = 10;

/// Where the counter of ms begins: two minutes before it rolls over, so that what cannot bear that does not wait 49 days to show it.
const FIRST_MS: u32 = u32::MAX - 119_999;

/// On, start, clock / 128 = 125 kHz: a conversion takes 104 µs of the 250.
const CONVERT: u8 = 0xc7;
const CONVERTING: u8 = 0x40;

struct Shared {
    now_ms: u32,
    ticks: u8,
    wake_in: u8,
    awake: bool,
    /// Conversions go on: the interrupt's half of what feeds the watchdog.
    alive: bool,
    running: Window,
    ready: Window,
    is_ready: bool,
}

/// Variables of the interrupt and the main loop.
struct Cell(UnsafeCell<Shared>);

// SAFETY: there is one core; the interrupt handler cannot be interrupted, and everyone else comes here through `with`.
unsafe impl Sync for Cell {}

static SHARED: Cell = Cell(UnsafeCell::new(Shared {
    now_ms: FIRST_MS,
    ticks: 0,
    wake_in: 0,
    awake: false,
    alive: false,
    running: Window { samples: 0, sum: 0, squares: 0, clipped: 0 },
    ready: Window { samples: 0, sum: 0, squares: 0, clipped: 0 },
    is_ready: false,
}));

#[inline(always)]
fn with<T>(work: impl FnOnce(&mut Shared) -> T) -> T {
    // SAFETY: interrupts are off, `work` cannot call this again (it is private to this file), so the reference is the only one.
    without_interrupts(|| work(unsafe { &mut *SHARED.0.get() }))
}

/// Timer and converter on; samples begin with the first interrupt.
pub fn set_up() {
    DIDR0.write(0x01);
    // 5 V as reference, channel 0.
    ADMUX.write(0x40);
    ADCSRA.write(CONVERT);
    TCCR1A.write(0);
    let [low, high] = (TICK_CYCLES - 1).to_le_bytes();
    OCR1AH.write(high);
    OCR1AL.write(low);
    // Counts every cycle and starts again at the compare value.
    TCCR1B.write(0x09);
    TIMSK1.write(0x02);
}

/// Timer 1, compare A.
///
/// # Safety
/// Only the processor calls this, with interrupts off.
#[unsafe(no_mangle)]
pub unsafe extern "avr-interrupt" fn __vector_11() {
    // SAFETY: interrupts are off in a handler, and whoever else uses the variables has them off.
    let shared = unsafe { &mut *SHARED.0.get() };
    if ADCSRA.read() & CONVERTING == 0 {
        // The low byte first: it locks the other.
        let low = ADCL.read();
        let count = i16::from_le_bytes([low, ADCH.read()]);
        ADCSRA.write(CONVERT);
        let value = count.wrapping_sub(MIDDLE);
        let running = &mut shared.running;
        running.sum = running.sum.wrapping_add(i32::from(value));
        // A count of ten bits squared has at most eighteen, and there are 2,000 of them in a window: no sum can overflow.
        running.squares = running.squares.wrapping_add(i32::from(value).wrapping_mul(i32::from(value)) as u32);
        if count == 0 || count >= TOP {
            running.clipped = running.clipped.wrapping_add(1);
        }
        running.samples = running.samples.wrapping_add(1);
        if running.samples >= WINDOW_SAMPLES {
            let full = core::mem::take(running);
            shared.ready.join(&full);
            shared.is_ready = true;
            shared.alive = true;
            shared.awake = true;
        }
    }
    shared.ticks = shared.ticks.wrapping_add(1);
    if shared.ticks >= TICKS_PER_MS {
        shared.ticks = 0;
        shared.now_ms = shared.now_ms.wrapping_add(1);
        shared.wake_in = shared.wake_in.wrapping_add(1);
        if shared.wake_in >= WAKE_MS {
            shared.wake_in = 0;
            shared.awake = true;
        }
    }
}

/// For other interrupts: the main loop has something to do.
#[inline(always)]
pub(crate) fn wake_from_interrupt() {
    // SAFETY: called from handlers, with interrupts off.
    unsafe { (*SHARED.0.get()).awake = true };
}

/// Whether there is something to do, which it then forgets; with interrupts off.
pub fn take_awake() -> bool {
    with(|shared| core::mem::take(&mut shared.awake))
}

/// Whether a window has been filled since the last time this was asked.
pub fn take_alive() -> bool {
    with(|shared| core::mem::take(&mut shared.alive))
}

/// The converter.
#[derive(Clone, Copy, Debug)]
pub struct Sampled;

impl Adc for Sampled {
    fn window(&mut self) -> Option<Window> {
        with(|shared| {
            if !core::mem::take(&mut shared.is_ready) {
                return None;
            }
            Some(core::mem::take(&mut shared.ready))
        })
    }
}

/// The counter of milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Counter;

impl Millis for Counter {
    #[inline(never)]
    fn now_ms(&mut self) -> u32 {
        with(|shared| shared.now_ms)
    }
}
