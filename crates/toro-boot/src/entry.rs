//! The doors: multiboot2 header, PVH note, and the way from 32-bit protected mode to long mode.
//!
//! Both protocols enter with paging off, flat 32-bit segments and interrupts off; EBX holds the address of the loader's
//! description (multiboot2 specification 2.0, 3.3; Xen's `docs/misc/pvh.pandoc`). The code here maps the first 4 GiB one to one
//! with 2 MiB pages, and the first 512 GiB with 1 GiB pages where the processor has those, switches SSE (and AVX, if there is any) on, and calls `toro_boot`.

use core::arch::global_asm;

use crate::info::{BootInfo, Loader};
use crate::ranges::Range;
use crate::{multiboot, pvh};

/// What GRUB leaves in EAX.
const MULTIBOOT2_MAGIC: u32 = 0x36D7_6289;
/// What the PVH door leaves in its place.
const PVH_MAGIC: u32 = 0x336E_C578;

/// The bytes of the stack of the boot thread, which becomes the main thread; a guard page is below.
pub const BOOT_STACK: usize = 64 * 1024;

global_asm!(
    r#"
    .section .boot.multiboot2, "a"
    .balign 8
toro_multiboot2_header:
    .long 0xE85250D6
    .long 0
    .long toro_multiboot2_header_end - toro_multiboot2_header
    .long -(0xE85250D6 + (toro_multiboot2_header_end - toro_multiboot2_header))
    // Modules on page boundaries.
    .short 6, 0
    .long 8
    .short 0, 0
    .long 8
toro_multiboot2_header_end:

    // XEN_ELFNOTE_PHYS32_ENTRY
    .section .note.pvh, "a", @note
    .balign 4
    .long 4
    .long 8
    .long 18
    .asciz "Xen"
    .quad toro_entry_pvh

    .section .boot.text, "ax"
    .code32
    .global toro_entry_pvh
toro_entry_pvh:
    mov eax, {pvh_magic}
    .global toro_entry_multiboot2
toro_entry_multiboot2:
    cli
    cld
    mov ebp, eax
    mov edi, offset __bss_start
    mov ecx, offset __zeroed_end
    sub ecx, edi
    shr ecx, 2
    xor eax, eax
    rep stosd
    mov [toro_boot_magic], ebp
    mov [toro_boot_info], ebx
    rdtsc
    mov [toro_entry_tsc], eax
    mov [toro_entry_tsc + 4], edx
    mov esp, offset toro_boot_stack + {stack}

    // Four page directories of 512 pages of 2 MiB: present, writable, large.
    mov edi, offset toro_page_directories
    mov eax, 0x83
    mov ecx, 2048
2:  mov [edi], eax
    mov dword ptr [edi + 4], 0
    add eax, 0x200000
    add edi, 8
    dec ecx
    jnz 2b
    mov eax, offset toro_page_directories + 3
    mov edi, offset toro_page_directory_pointers
    mov ecx, 4
3:  mov [edi], eax
    add eax, 4096
    add edi, 8
    dec ecx
    jnz 3b
    // Where the processor has pages of 1 GiB, the rest of the first 512 GiB.
    mov eax, 0x80000001
    cpuid
    bt edx, 26
    jnc 8f
    mov edi, offset toro_page_directory_pointers + 4 * 8
    mov eax, 0x83
    mov edx, 1
    mov ecx, 508
7:  mov [edi], eax
    mov [edi + 4], edx
    add eax, 0x40000000
    adc edx, 0
    add edi, 8
    dec ecx
    jnz 7b
8:  mov eax, offset toro_page_directory_pointers + 3
    mov [toro_page_root], eax
    mov eax, offset toro_page_root
    mov cr3, eax

    // PAE, OSFXSR, OSXMMEXCPT; OSXSAVE where the processor has XSAVE.
    mov eax, 1
    cpuid
    mov eax, cr4
    or eax, 0x620
    bt ecx, 26
    jnc 4f
    or eax, 0x40000
4:  mov cr4, eax
    mov ecx, 0xC0000080
    rdmsr
    or eax, 0x100
    wrmsr
    // PG, WP, NE, MP on; EM, TS off.
    mov eax, cr0
    and eax, 0xFFFFFFF3
    or eax, 0x80010022
    mov cr0, eax
    lgdt [toro_boot_gdt_pointer]
    .byte 0xEA
    .long toro_long_mode
    .short 8

    .code64
toro_long_mode:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov rax, cr4
    bt eax, 18
    jnc 5f
    // x87, SSE and, where there is AVX, its upper halves.
    mov eax, 1
    cpuid
    mov eax, 3
    bt ecx, 28
    jnc 6f
    or eax, 4
6:  xor edx, edx
    xor ecx, ecx
    xsetbv
5:  fninit
    mov rsp, offset toro_boot_stack + {stack}
    xor ebp, ebp
    mov edi, [toro_boot_magic]
    mov esi, [toro_boot_info]
    // Where a debugger that looks for the caller finds address 0, and ends.
    push 0
    push 0
    call {boot}
    ud2

    .section .rodata.boot, "a"
    .balign 8
    .global toro_boot_gdt
toro_boot_gdt:
    .quad 0
    .quad 0x00AF9A000000FFFF
    .quad 0x00CF92000000FFFF
    .quad 0x00CF9A000000FFFF
    .global toro_boot_gdt_pointer
toro_boot_gdt_pointer:
    .short 31
    .long toro_boot_gdt

    .section .bss.boot, "aw", @nobits
    .balign 4096
    .global toro_page_root
toro_page_root:
    .skip 4096
toro_page_directory_pointers:
    .skip 4096
toro_page_directories:
    .skip 4 * 4096
    .balign 8
toro_boot_magic:
    .skip 4
toro_boot_info:
    .skip 4
    .global toro_entry_tsc
toro_entry_tsc:
    .skip 8

    .section .boot_stack, "aw", @nobits
    .balign 4096
    .global toro_boot_guard
toro_boot_guard:
    .skip 4096
    .global toro_boot_stack
toro_boot_stack:
    .skip {stack}
    .text
    "#,
    pvh_magic = const PVH_MAGIC,
    stack = const BOOT_STACK,
    boot = sym boot,
);

unsafe extern "C" {
    /// The time stamp counter at the first instruction.
    static toro_entry_tsc: u64;
}

struct Cell(core::cell::UnsafeCell<BootInfo>);

// SAFETY: written once, in `boot`, while one core runs; only read afterwards.
unsafe impl Sync for Cell {}

static INFO: Cell = Cell(core::cell::UnsafeCell::new(BootInfo::empty()));

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
}

unsafe extern "Rust" {
    /// The runtime's boot list: the one upcall from here.
    safe fn toro_start(info: &'static BootInfo) -> !;
}

/// The first Rust function of the image: reads what the loader left at `address`.
extern "C" fn boot(magic: u32, address: u32) -> ! {
    // SAFETY: one core runs and this is called once.
    let info = unsafe { &mut *INFO.0.get() };
    // SAFETY: the entry code wrote it.
    info.entry_tsc = unsafe { toro_entry_tsc };
    let image = Range {
        start: &raw const __image_start as u64,
        end: &raw const __image_end as u64,
    };
    info.reserved.push(image);
    // The first 64 KiB: page 0, firmware's data, the place where other cores start.
    info.reserved.push(Range {
        start: 0,
        end: 0x1_0000,
    });
    match magic {
        MULTIBOOT2_MAGIC => {
            info.loader = Loader::Multiboot2;
            // SAFETY: a multiboot2 loader entered and left its description there.
            unsafe { multiboot::read(u64::from(address), info) };
        }
        PVH_MAGIC => {
            info.loader = Loader::Pvh;
            // SAFETY: the PVH door was taken, so the loader's description lies there.
            unsafe { pvh::read(u64::from(address), info) };
        }
        _ => {
            toro_arch::serial::init();
            toro_arch::serial::write(b"Toro: the loader speaks neither multiboot2 nor PVH\n");
            toro_arch::power::reset();
        }
    }
    toro_start(info)
}
