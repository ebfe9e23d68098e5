//! Registers by name: for reports, for provenance, for comparison.

use core::fmt;

use super::{RegisterFile, Segment, TableRegister};

/// One value of any width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterValue {
    /// A general, control, debug or model-specific register.
    Integer(u64),
    /// A segment register.
    Segment(Segment),
    /// GDTR or IDTR.
    Table(TableRegister),
}

/// One table for the names, the order and the access to every register.
macro_rules! registers {
    ($($variant:ident $field:ident $kind:ident $width:ty;)*) => {
        /// The name of one register of a [`RegisterFile`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "named as in the manuals")]
        pub enum Register {
            $($variant,)*
        }

        impl Register {
            /// Every register, in the order of the fields.
            pub const ALL: [Self; [$(Self::$variant,)*].len()] = [$(Self::$variant,)*];

            /// The name in lower case, as in reports: `rax`, `apic_base`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($field),)*
                }
            }
        }

        impl RegisterFile {
            /// The value of a register.
            pub fn get(&self, register: Register) -> RegisterValue {
                match register {
                    $(Register::$variant => RegisterValue::$kind(self.$field.into()),)*
                }
            }

            /// Sets a register; a value of another kind than the register's is
            /// ignored, an integer is cut to the register's width.
            pub fn set(&mut self, register: Register, value: RegisterValue) {
                match (register, value) {
                    $((Register::$variant, RegisterValue::$kind(value)) => {
                        self.$field = value as $width;
                    })*
                    _ => {}
                }
            }
        }
    };
}

registers! {
    Rax rax Integer u64;
    Rcx rcx Integer u64;
    Rdx rdx Integer u64;
    Rbx rbx Integer u64;
    Rsp rsp Integer u64;
    Rbp rbp Integer u64;
    Rsi rsi Integer u64;
    Rdi rdi Integer u64;
    R8 r8 Integer u64;
    R9 r9 Integer u64;
    R10 r10 Integer u64;
    R11 r11 Integer u64;
    R12 r12 Integer u64;
    R13 r13 Integer u64;
    R14 r14 Integer u64;
    R15 r15 Integer u64;
    Rip rip Integer u64;
    Rflags rflags Integer u64;
    Cr0 cr0 Integer u64;
    Cr2 cr2 Integer u64;
    Cr3 cr3 Integer u64;
    Cr4 cr4 Integer u64;
    Cr8 cr8 Integer u64;
    Efer efer Integer u64;
    Xcr0 xcr0 Integer u64;
    Dr0 dr0 Integer u64;
    Dr1 dr1 Integer u64;
    Dr2 dr2 Integer u64;
    Dr3 dr3 Integer u64;
    Dr6 dr6 Integer u64;
    Dr7 dr7 Integer u64;
    Mxcsr mxcsr Integer u32;
    Fcw fcw Integer u16;
    Pat pat Integer u64;
    ApicBase apic_base Integer u64;
    Cs cs Segment Segment;
    Ds ds Segment Segment;
    Es es Segment Segment;
    Ss ss Segment Segment;
    Fs fs Segment Segment;
    Gs gs Segment Segment;
    Ldtr ldtr Segment Segment;
    Tr tr Segment Segment;
    Gdtr gdtr Table TableRegister;
    Idtr idtr Table TableRegister;
}

impl Register {
    /// The register of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|register| register.name() == name)
    }

    /// Its place in [`Register::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
