// The few calls of libsimavr that the harness needs, with its structures hidden from Rust. SPDX-License-Identifier: GPL-3.0-or-later
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sim_avr.h>
#include <sim_elf.h>
#include <sim_io.h>
#include <sim_cycle_timers.h>
#include <avr_adc.h>
#include <avr_eeprom.h>
#include <avr_extint.h>
#include <avr_ioport.h>
#include <avr_twi.h>
#include <avr_uart.h>

enum { GPIOR0 = 0x3E, MCUSR = 0x54, TWSR = 0xB9, TWCR = 0xBC, TWINT = 0x80, TWSTA = 0x20, SPL = 0x5D, SPH = 0x5E, RAM_START = 0x100 };

typedef struct {
    void *world;
    uint32_t (*adc)(void *world, uint64_t cycle);                                       // millivolts at the converter
    void (*sent)(void *world, uint8_t byte, uint64_t cycle);                            // a byte to the modem
    void (*pin)(void *world, uint8_t bit, uint8_t level, uint64_t cycle);               // port B
    void (*mark)(void *world, uint8_t number, uint64_t cycle);
    void (*started)(void *world, uint8_t cause, uint64_t cycle);                        // MCUSR when the program cleared it
    uint64_t (*wake)(void *world, uint64_t cycle);                                      // the next cycle to be woken at
    uint32_t (*bus)(void *world, uint8_t message, uint8_t address, uint8_t data);       // 0x100: acknowledge, 0x200 | byte: data, 0x400: hang
} callbacks_t;

typedef struct {
    avr_t *avr;
    callbacks_t to;
    avr_irq_t *uart_in, *adc_in, *twi_in;
    int armed, addressed, hung;
    uint8_t pulled[3], level[3]; // ports B to D: which pins are driven from outside, and how
} sim_t;

static void on_sent(avr_irq_t *irq, uint32_t value, void *p) { sim_t *s = p; s->to.sent(s->to.world, (uint8_t)value, s->avr->cycle); }
static void on_convert(avr_irq_t *irq, uint32_t value, void *p) { sim_t *s = p; avr_raise_irq(s->adc_in, s->to.adc(s->to.world, s->avr->cycle)); }
static void on_mark(avr_t *avr, avr_io_addr_t at, uint8_t value, void *p) { sim_t *s = p; avr->data[at] = value; s->to.mark(s->to.world, value, avr->cycle); }
// A pin that is an external interrupt as well and held low is polled in every cycle, though nothing has turned that interrupt on: fourteen times slower. Each reset turns it on again.
static void no_polling(sim_t *s) {
    avr_extint_set_strict_lvl_trig(s->avr, 0, 0);
    avr_extint_set_strict_lvl_trig(s->avr, 1, 0);
}
static void on_mcusr(avr_t *avr, avr_io_addr_t at, uint8_t value, void *p) {
    sim_t *s = p;
    uint8_t cause = avr->data[at];
    avr->data[at] = value;
    s->armed = 0; // a reset forgets all timers
    no_polling(s);
    s->to.started(s->to.world, cause, avr->cycle);
}
static void on_relay(avr_irq_t *irq, uint32_t value, void *p) { sim_t *s = p; s->to.pin(s->to.world, 0, value & 1, s->avr->cycle); }
static void on_bus(avr_irq_t *irq, uint32_t value, void *p) {
    sim_t *s = p;
    avr_twi_msg_irq_t in = { .u.v = value };
    s->addressed = in.u.twi.msg & TWI_COND_START;
    uint32_t answer = s->to.bus(s->to.world, in.u.twi.msg, in.u.twi.addr, in.u.twi.data);
    s->hung = (answer & 0x400) != 0;
    if (answer & 0x100) avr_raise_irq(s->twi_in, avr_twi_irq_msg(TWI_COND_ACK, in.u.twi.addr, 1));
    if (answer & 0x200) avr_raise_irq(s->twi_in, avr_twi_irq_msg(TWI_COND_READ, in.u.twi.addr, answer & 0xFF));
}
// simavr 1.6 says "data acknowledged" for an address that is to be written to; the processor says 0x18 and 0x20 (data sheet, table 22-2).
static void on_bus_status(avr_irq_t *irq, uint32_t value, void *p) {
    sim_t *s = p;
    uint8_t *status = &s->avr->data[TWSR];
    if (s->addressed && (*status & 0xF0) >= 0x20 && (*status & 0xF0) <= 0x30) *status -= 0x10;
    s->addressed = 0;
}
// A one written into TWINT clears it (section 22.9.2), until the bus has done what it was told; simavr 1.6 leaves it set.
static void on_bus_control(avr_t *avr, avr_io_addr_t at, uint8_t value, void *p) {
    sim_t *s = p;
    if (value & TWSTA) s->hung = 0; // a start hangs only where its address does
    if (value & TWINT) avr->data[at] &= (uint8_t)~TWINT;
}
static uint8_t on_bus_asked(avr_t *avr, avr_io_addr_t at, void *p) {
    sim_t *s = p;
    return s->hung ? avr->data[at] & (uint8_t)~TWINT : avr->data[at];
}
static avr_cycle_count_t on_wake(avr_t *avr, avr_cycle_count_t when, void *p) { sim_t *s = p; return s->to.wake(s->to.world, avr->cycle); }
static void no_sleep(avr_t *avr, avr_cycle_count_t cycles) {}
static void no_log(avr_t *avr, const int level, const char *format, va_list arguments) {}

sim_t *sim_new(const char *elf, const callbacks_t *to) {
    avr_global_logger_set(no_log);
    elf_firmware_t firmware;
    memset(&firmware, 0, sizeof firmware);
    if (elf_read_firmware(elf, &firmware)) return NULL;
    sim_t *s = calloc(1, sizeof *s);
    s->avr = avr_make_mcu_by_name("atmega328p");
    s->to = *to;
    avr_init(s->avr);
    strcpy(firmware.mmcu, "atmega328p");
    firmware.frequency = 16000000;
    memset(s->avr->data + RAM_START, 0xA5, s->avr->ramend + 1 - RAM_START);
    avr_load_firmware(s->avr, &firmware);
    no_polling(s);
    free(firmware.flash);
    avr_t *avr = s->avr;
    avr->frequency = 16000000;
    avr->vcc = avr->avcc = avr->aref = 5000;
    avr->sleep = no_sleep;
    avr->log = 0;
    uint32_t flags = 0;
    avr_ioctl(avr, AVR_IOCTL_UART_GET_FLAGS('0'), &flags);
    flags &= ~(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    s->uart_in = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    s->adc_in = avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC0);
    s->twi_in = avr_io_getirq(avr, AVR_IOCTL_TWI_GETIRQ(0), TWI_IRQ_INPUT);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_sent, s);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_OUT_TRIGGER), on_convert, s);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_TWI_GETIRQ(0), TWI_IRQ_OUTPUT), on_bus, s);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_TWI_GETIRQ(0), TWI_IRQ_STATUS), on_bus_status, s);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('B'), 0), on_relay, s);
    avr_register_io_write(avr, TWCR, on_bus_control, s);
    avr_register_io_read(avr, TWCR, on_bus_asked, s);
    avr_register_io_write(avr, GPIOR0, on_mark, s);
    avr_register_io_write(avr, MCUSR, on_mcusr, s);
    return s;
}

// The supply sags and comes back: every register is reset, RAM is what it was, and MCUSR says why.
void sim_brown_out(sim_t *s) {
    avr_reset(s->avr);
    s->avr->data[MCUSR] = 1 << 2;
}

void sim_free(sim_t *s) {
    avr_terminate(s->avr);
    free(s);
}

// Runs until a cycle; gives simavr's state: 2 running, 3 sleeping, above 4 ended.
int sim_run(sim_t *s, uint64_t until) {
    int state = s->avr->state;
    while (s->avr->cycle < until) {
        if (!s->armed) {
            s->armed = 1;
            // At once: a program that starts soon asks how its switches are set.
            avr_cycle_timer_register(s->avr, 1, on_wake, s);
        }
        state = avr_run(s->avr);
        if (state > cpu_Sleeping && state != cpu_Step && state != cpu_StepDone) break;
    }
    return state;
}

uint64_t sim_cycle(sim_t *s) { return s->avr->cycle; }
uint8_t *sim_memory(sim_t *s) { return s->avr->data; }
void sim_receive(sim_t *s, uint8_t byte) { avr_raise_irq(s->uart_in, byte); }
void sim_pins(sim_t *s, uint8_t port, uint8_t mask, uint8_t levels) {
    // simavr forgets what it was told of the other pins, and lets a pull-up win there.
    uint8_t *pulled = &s->pulled[port - 'B'], *level = &s->level[port - 'B'];
    *pulled |= mask;
    *level = (uint8_t)((*level & ~mask) | (levels & mask));
    avr_ioport_external_t external = { .name = (unsigned char)port, .mask = *pulled, .value = *level };
    avr_ioctl(s->avr, AVR_IOCTL_IOPORT_SET_EXTERNAL(port), &external);
    for (int bit = 0; bit < 8; bit++) {
        if (!(mask >> bit & 1)) continue;
        avr_irq_t *pin = avr_io_getirq(s->avr, AVR_IOCTL_IOPORT_GETIRQ(port), bit);
        // A level that the pin has already is filtered out, also after a reset has cleared the register: so the other one first.
        avr_raise_irq(pin, !(levels >> bit & 1));
        avr_raise_irq(pin, levels >> bit & 1);
    }
}
void sim_load_eeprom(sim_t *s, uint8_t *bytes, uint32_t length) {
    avr_eeprom_desc_t what = { .ee = bytes, .offset = 0, .size = length };
    avr_ioctl(s->avr, AVR_IOCTL_EEPROM_SET, &what);
}
void sim_read_eeprom(sim_t *s, uint8_t *bytes, uint32_t length) {
    avr_eeprom_desc_t what = { .ee = bytes, .offset = 0, .size = length };
    avr_ioctl(s->avr, AVR_IOCTL_EEPROM_GET, &what);
}
