//! libsimavr behind a safe face: one emulated processor and the devices around it.
//!
//! The only place with `unsafe`. Devices are called while the processor runs and may answer through [`Pins`]; they cannot run it themselves, so no call comes back
//! into a device that is being called.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

/// Bytes of EEPROM.
pub const EEPROM_LEN: usize = 1024;
/// Where RAM ends, in data space.
const RAM_END: usize = 0x900;
const RAM_START: usize = 0x100;
/// What RAM is filled with before the program starts.
const PAINT: u8 = 0xa5;

#[repr(C)]
struct Callbacks {
    world: *mut c_void,
    adc: extern "C" fn(*mut c_void, u64) -> u32,
    sent: extern "C" fn(*mut c_void, u8, u64),
    pin: extern "C" fn(*mut c_void, u8, u8, u64),
    mark: extern "C" fn(*mut c_void, u8, u64),
    started: extern "C" fn(*mut c_void, u8, u64),
    wake: extern "C" fn(*mut c_void, u64) -> u64,
    bus: extern "C" fn(*mut c_void, u8, u8, u8) -> u32,
}

#[repr(C)]
struct Sim {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn sim_new(elf: *const c_char, to: *const Callbacks) -> *mut Sim;
    fn sim_free(sim: *mut Sim);
    fn sim_run(sim: *mut Sim, until: u64) -> c_int;
    fn sim_cycle(sim: *mut Sim) -> u64;
    fn sim_memory(sim: *mut Sim) -> *mut u8;
    fn sim_brown_out(sim: *mut Sim);
    fn sim_receive(sim: *mut Sim, byte: u8);
    fn sim_pins(sim: *mut Sim, port: u8, mask: u8, levels: u8);
    fn sim_load_eeprom(sim: *mut Sim, bytes: *mut u8, length: u32);
    fn sim_read_eeprom(sim: *mut Sim, bytes: *mut u8, length: u32);
}

/// What a byte on the I²C bus is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BusAnswer {
    /// Nobody is there.
    Nothing,
    /// Taken.
    Acknowledged,
    /// A byte that was read.
    Byte(u8),
    /// The clock is held low: the transfer never comes to an end.
    Hangs,
}

/// What happens on the I²C bus; bits of simavr's message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BusEvent {
    /// A transfer begins.
    pub start: bool,
    /// A transfer ends.
    pub stop: bool,
    /// A byte is written.
    pub write: bool,
    /// A byte is read.
    pub read: bool,
    /// The address, with the direction in the lowest bit.
    pub address: u8,
    /// The byte written.
    pub byte: u8,
}

/// The devices around a processor.
pub trait Devices {
    /// The voltage at the converter, mV.
    fn millivolts(&mut self, cycle: u64) -> u32;
    /// The program sends a byte to the modem.
    fn sent(&mut self, byte: u8, cycle: u64);
    /// The relay's pin is set.
    fn relay(&mut self, closed: bool, cycle: u64);
    /// The program shows a number.
    fn mark(&mut self, number: u8, cycle: u64);
    /// The program has started: the causes, as in MCUSR (1 power, 4 brown-out, 8 watchdog).
    fn started(&mut self, cause: u8, cycle: u64);
    /// Time to do something; gives the cycle at which to be called next.
    fn wake(&mut self, pins: &Pins, cycle: u64) -> u64;
    /// Something on the I²C bus.
    fn bus(&mut self, event: BusEvent) -> BusAnswer;
}

/// What devices may do to the processor.
#[derive(Debug)]
pub struct Pins(*mut Sim);

impl Pins {
    /// A byte arrives from the modem.
    pub fn receive(&self, byte: u8) {
        // SAFETY: the pointer lives as long as the `Avr` that lends this; no device is called back from here.
        unsafe { sim_receive(self.0, byte) }
    }

    /// Sets the levels of the pins of a port, `b'B'` or `b'D'`, in a mask.
    pub fn set(&self, port: u8, mask: u8, levels: u8) {
        // SAFETY: as in `receive`; the one pin with a callback, the relay's, is never in the mask.
        unsafe { sim_pins(self.0, port, mask, levels) }
    }

    /// A byte of the processor's data space.
    #[must_use]
    pub fn peek(&self, address: u16) -> u8 {
        assert!(usize::from(address) < RAM_END, "data space ends at {RAM_END:#x}");
        // SAFETY: simavr's data space has at least `RAM_END` bytes.
        unsafe { *sim_memory(self.0).add(address.into()) }
    }
}

/// An emulated ATmega328P at 16 MHz with its devices.
#[derive(Debug)]
pub struct Avr<D: Devices> {
    sim: *mut Sim,
    devices: *mut D,
}

impl<D: Devices> Avr<D> {
    /// Loads a program; panics where the file is no program for it.
    #[must_use]
    pub fn new(elf: &Path, devices: D) -> Self {
        assert!(elf.is_file(), "there is no program at {}: build it with ./dev firmware", elf.display());
        let devices = Box::into_raw(Box::new(devices));
        let callbacks = Callbacks {
            world: devices.cast(),
            adc: adc::<D>,
            sent: sent::<D>,
            pin: pin::<D>,
            mark: mark::<D>,
            started: started::<D>,
            wake: wake::<D>,
            bus: bus::<D>,
        };
        let path = CString::new(elf.as_os_str().as_bytes()).expect("a path has no zero byte");
        // SAFETY: both pointers are valid during the call; the callbacks are copied, and what they point at lives until `drop`.
        let sim = unsafe { sim_new(path.as_ptr(), &raw const callbacks) };
        assert!(!sim.is_null(), "{} is no program for the emulator", elf.display());
        let avr = Self { sim, devices };
        PINS.with(|pins| pins.borrow_mut().push((devices as usize, sim as usize)));
        avr
    }

    /// The devices.
    pub fn devices(&mut self) -> &mut D {
        // SAFETY: the box lives until `drop`; the processor does not run, so no callback holds a reference.
        unsafe { &mut *self.devices }
    }

    /// The pins, to set them from outside.
    #[must_use]
    pub fn pins(&self) -> Pins {
        Pins(self.sim)
    }

    /// Runs until a cycle; panics where the processor has stopped for good.
    pub fn run_until(&mut self, cycle: u64) {
        // SAFETY: valid until `drop`; callbacks use `devices` alone, to which no reference exists now.
        let state = unsafe { sim_run(self.sim, cycle) };
        assert!(self.cycle() >= cycle, "the processor has stopped: state {state}");
    }

    /// The cycles since power came.
    #[must_use]
    pub fn cycle(&self) -> u64 {
        // SAFETY: valid until `drop`.
        unsafe { sim_cycle(self.sim) }
    }

    /// The supply sags for a moment: the brown-out detector resets the processor.
    pub fn brown_out(&mut self) {
        // SAFETY: valid until `drop`, and the processor does not run.
        unsafe { sim_brown_out(self.sim) }
    }

    /// The EEPROM's content.
    #[must_use]
    pub fn eeprom(&self) -> Vec<u8> {
        let mut bytes = vec![0; EEPROM_LEN];
        // SAFETY: the buffer is as long as is said.
        unsafe { sim_read_eeprom(self.sim, bytes.as_mut_ptr(), EEPROM_LEN as u32) }
        bytes
    }

    /// Replaces the EEPROM's content.
    pub fn load_eeprom(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len(), EEPROM_LEN);
        let mut copy = bytes.to_vec();
        // SAFETY: the buffer is as long as is said, and is copied.
        unsafe { sim_load_eeprom(self.sim, copy.as_mut_ptr(), EEPROM_LEN as u32) }
    }

    /// The byte of EEPROM that is being written at this moment, if one is.
    #[must_use]
    pub fn eeprom_write_under_way(&self) -> Option<usize> {
        let pins = self.pins();
        let address = usize::from(pins.peek(0x41)) | usize::from(pins.peek(0x42)) << 8;
        (pins.peek(0x3f) & 2 != 0).then_some(address)
    }

    /// Sets a byte of the processor's data space, as a fault would: no device hears of it.
    pub fn poke(&mut self, address: u16, value: u8) {
        assert!(usize::from(address) < RAM_END, "data space ends at {RAM_END:#x}");
        // SAFETY: as in `Pins::peek`, and the processor does not run.
        unsafe { *sim_memory(self.sim).add(address.into()) = value }
    }

    /// How many bytes of RAM were ever used: static ones, and the stack at its deepest.
    #[must_use]
    pub fn ram_used(&self) -> usize {
        let pins = self.pins();
        let bytes: Vec<u8> =
            (RAM_START..RAM_END).map(|address| pins.peek(u16::try_from(address).expect("RAM has 16-bit addresses"))).collect();
        let untouched = bytes.split(|byte| *byte != PAINT).map(<[u8]>::len).max().unwrap_or(0);
        bytes.len() - untouched
    }
}

impl<D: Devices> Drop for Avr<D> {
    fn drop(&mut self) {
        PINS.with(|pins| pins.borrow_mut().retain(|(devices, _)| *devices != self.devices as usize));
        // SAFETY: made in `new`, freed once, and the processor does not run any more.
        unsafe {
            sim_free(self.sim);
            drop(Box::from_raw(self.devices));
        }
    }
}

thread_local! {
    /// Which processor each device belongs to, for the callback that needs it.
    static PINS: std::cell::RefCell<Vec<(usize, usize)>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// # Safety
/// `world` is the pointer of `Avr::new`, and nobody else has a reference to what it points at: the processor is running, one callback at a time.
unsafe fn world<'a, D>(world: *mut c_void) -> &'a mut D {
    // SAFETY: as the caller says.
    unsafe { &mut *world.cast() }
}

extern "C" fn adc<D: Devices>(at: *mut c_void, cycle: u64) -> u32 {
    // SAFETY: called by the shim with our pointer.
    unsafe { world::<D>(at) }.millivolts(cycle)
}

extern "C" fn sent<D: Devices>(at: *mut c_void, byte: u8, cycle: u64) {
    // SAFETY: as in `adc`.
    unsafe { world::<D>(at) }.sent(byte, cycle);
}

extern "C" fn pin<D: Devices>(at: *mut c_void, _bit: u8, level: u8, cycle: u64) {
    // SAFETY: as in `adc`.
    unsafe { world::<D>(at) }.relay(level != 0, cycle);
}

extern "C" fn mark<D: Devices>(at: *mut c_void, number: u8, cycle: u64) {
    // SAFETY: as in `adc`.
    unsafe { world::<D>(at) }.mark(number, cycle);
}

extern "C" fn started<D: Devices>(at: *mut c_void, cause: u8, cycle: u64) {
    // SAFETY: as in `adc`.
    unsafe { world::<D>(at) }.started(cause, cycle);
}

extern "C" fn wake<D: Devices>(at: *mut c_void, cycle: u64) -> u64 {
    let sim = PINS.with(|pins| pins.borrow().iter().find(|(devices, _)| *devices == at as usize).map_or(0, |(_, sim)| *sim));
    let pins = Pins(sim as *mut Sim);
    // SAFETY: as in `adc`.
    let next = unsafe { world::<D>(at) }.wake(&pins, cycle);
    next.max(cycle + 16)
}

extern "C" fn bus<D: Devices>(at: *mut c_void, message: u8, address: u8, byte: u8) -> u32 {
    let has = |bit: u8| message & bit != 0;
    let event = BusEvent { start: has(1), stop: has(2), write: has(16), read: has(32), address, byte };
    // SAFETY: as in `adc`.
    match unsafe { world::<D>(at) }.bus(event) {
        BusAnswer::Nothing => 0,
        BusAnswer::Acknowledged => 0x100,
        BusAnswer::Byte(byte) => 0x200 | u32::from(byte),
        BusAnswer::Hangs => 0x400,
    }
}
