//! The FADT: the power-management block, the reset register, and what of a PC
//! is not there (ACPI specification 6.5, section 5.2.9).

use acpi_tables::fadt::{FADTBuilder, Flags, PmProfile};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};

use super::{OEM_ID, OEM_REVISION, OEM_TABLE_ID, bytes};
use crate::{cmos, pm, reset};

/// FIRMWARE_CTRL, DSDT and X_DSDT: offset and length. What comes before them in
/// the file that firmware gets are offsets.
pub(super) const POINTERS: [(usize, usize); 3] = [(36, 4), (40, 4), (140, 8)];

/// IAPC_BOOT_ARCH: COM1 is there, found without help.
const LEGACY_DEVICES: u16 = 1 << 0;
/// IAPC_BOOT_ARCH: there is no display adapter to probe for. That bit 1 is clear
/// says the same of a keyboard: the controller at 0x60 is there for its reset
/// and A20 lines, and nothing can be plugged in.
const VGA_NOT_PRESENT: u16 = 1 << 2;

/// What to write to the reset register: RST_CPU and SYS_RST.
const HARD_RESET: u8 = 0x06;

/// A latency of a C2 or C3 state that means "not there".
const NO_C2: u16 = 0xfff;
const NO_C3: u16 = 0xfff;

/// Without SMI_CMD: the machine is in ACPI mode from the start and stays there
/// (section 4.8.2.5), since nobody here would take an SMI.
pub(super) fn fadt(pm_base: u16, facs: u32, dsdt: u32) -> Vec<u8> {
    let mut fadt = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    fadt.firmware_ctrl = facs.into();
    fadt.dsdt = dsdt.into();
    fadt.x_dsdt = u64::from(dsdt).into();
    fadt.sci_int = pm::SCI.into();

    let port = |offset: u16| u32::from(pm_base + offset);
    fadt.pm1a_evt_blk = port(pm::PM1_EVENTS).into();
    fadt.pm1a_cnt_blk = port(pm::PM1_CONTROL).into();
    fadt.pm_tmr_blk = port(pm::PM_TIMER).into();
    fadt.gpe0_blk = port(pm::GPE0).into();
    fadt.pm1_evt_len = 4;
    fadt.pm1_cnt_len = 2;
    fadt.pm_tmr_len = 4;
    fadt.gpe0_blk_len = pm::GPE0_LEN;
    fadt.x_pm1a_evt_blk = io(port(pm::PM1_EVENTS), 32, AccessSize::WordAccess);
    fadt.x_pm1a_cnt_blk = io(port(pm::PM1_CONTROL), 16, AccessSize::WordAccess);
    fadt.x_pm_tmr_blk = io(port(pm::PM_TIMER), 32, AccessSize::DwordAccess);
    fadt.x_gpe0_blk = io(port(pm::GPE0), 8 * pm::GPE0_LEN, AccessSize::ByteAccess);

    fadt.p_lvl2_lat = NO_C2.into();
    fadt.p_lvl3_lat = NO_C3.into();
    fadt.century = cmos::CENTURY;
    fadt.iapc_boot_arch = (LEGACY_DEVICES | VGA_NOT_PRESENT).into();
    fadt.reset_reg = io(reset::RESET_CONTROL.into(), 8, AccessSize::ByteAccess);
    fadt.reset_value = HARD_RESET;
    // No buttons and no alarm among the fixed events, and a timer of 24 bits.
    for flag in [
        Flags::Wbinvd,
        Flags::ProcC1,
        Flags::PwrButton,
        Flags::SlpButton,
        Flags::FixRtc,
        Flags::ResetRegSup,
        Flags::Headless,
    ] {
        fadt = fadt.flag(flag);
    }
    bytes(&fadt.preferred_pm_profile(PmProfile::Unspecified).finalize())
}

fn io(port: u32, bits: u8, access: AccessSize) -> GAS {
    GAS::new(AddressSpace::SystemIo, bits, 0, access, port.into())
}
