//! Segment registers with their hidden parts, and descriptor-table registers.

/// A segment register: the selector and the hidden descriptor behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Segment {
    /// The visible part.
    pub selector: u16,
    /// Access rights as IGVM, VMX and Hyper-V lay them out: type 3:0, S 4,
    /// DPL 6:5, P 7, zero 11:8, AVL 12, L 13, D/B 14, G 15 (SDM volume 3,
    /// "Format of Access Rights").
    pub attributes: u16,
    /// The last valid offset, in bytes: already expanded by G.
    pub limit: u32,
    /// Linear address of offset 0.
    pub base: u64,
}

impl Segment {
    /// Bits 11:8 of the attributes, which must be zero.
    pub const RESERVED_ATTRIBUTES: u16 = 0x0f00;

    /// Bits 3:0: the type.
    pub const fn typ(&self) -> u8 {
        (self.attributes & 0xf) as u8
    }

    /// Bit 4: code or data segment (S), else a system segment.
    pub const fn code_or_data(&self) -> bool {
        self.attributes & 1 << 4 != 0
    }

    /// Bits 6:5: descriptor privilege level.
    pub const fn dpl(&self) -> u8 {
        (self.attributes >> 5 & 3) as u8
    }

    /// Bit 7: present.
    pub const fn present(&self) -> bool {
        self.attributes & 1 << 7 != 0
    }

    /// Bit 12: available to software.
    pub const fn avl(&self) -> bool {
        self.attributes & 1 << 12 != 0
    }

    /// Bit 13: a 64-bit code segment (L).
    pub const fn long(&self) -> bool {
        self.attributes & 1 << 13 != 0
    }

    /// Bit 14: 32-bit operands and addresses by default (D), a 32-bit stack
    /// pointer (B).
    pub const fn default_big(&self) -> bool {
        self.attributes & 1 << 14 != 0
    }

    /// Bit 15: the limit in the descriptor counts 4 KiB units.
    pub const fn granularity(&self) -> bool {
        self.attributes & 1 << 15 != 0
    }

    /// A code segment: S set and bit 3 of the type set.
    pub const fn is_code(&self) -> bool {
        self.code_or_data() && self.attributes & 1 << 3 != 0
    }
}

/// GDTR or IDTR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct TableRegister {
    /// Linear address of the table.
    pub base: u64,
    /// The last valid offset in it.
    pub limit: u16,
}
