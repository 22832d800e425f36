//! Tests of the choice and the names of adapters, on made-up ones.

use wgpu::Backend;

use super::*;

fn info(kind: DeviceType, name: &str, bus: &str) -> AdapterInfo {
    AdapterInfo {
        name: name.to_owned(),
        device_pci_bus_id: bus.to_owned(),
        ..AdapterInfo::new(kind, Backend::Vulkan)
    }
}

#[test]
fn software_adapters_are_chosen_only_where_allowed() {
    assert_eq!(rank(DeviceType::Cpu, false), None);
    assert_eq!(rank(DeviceType::Other, false), None);
    assert!(rank(DeviceType::DiscreteGpu, true) < rank(DeviceType::Cpu, true));
    assert!(rank(DeviceType::DiscreteGpu, false) < rank(DeviceType::IntegratedGpu, false));
}

#[test]
fn twins_are_told_apart_and_one_card_is_taken_once() {
    let infos = [
        info(DeviceType::Cpu, "llvmpipe", ""),
        info(DeviceType::IntegratedGpu, "Iris", "0000:00:02.0"),
        info(DeviceType::DiscreteGpu, "H200", "0000:17:00.0"),
        info(DeviceType::DiscreteGpu, "H200", "0000:18:00.0"),
        info(DeviceType::DiscreteGpu, "H200", "0000:17:00.0"),
    ];
    assert_eq!(choose(&infos, false), [2, 3, 1]);
    assert_eq!(choose(&infos, true), [2, 3, 1]);
    assert_eq!(choose(&infos[..1], true), [0]);
    assert_eq!(choose(&infos[..1], false), Vec::<usize>::new());
}

#[test]
fn names_tell_the_place_of_hardware_alone() {
    for (kind, bus, expected) in [
        (DeviceType::DiscreteGpu, "0000:17:00.0", "X 0000:17:00.0"),
        (DeviceType::DiscreteGpu, "", "X"),
        (DeviceType::Cpu, "0000:17:00.0", "X"),
    ] {
        assert_eq!(name(&info(kind, "X", bus)), expected);
    }
}

#[test]
fn two_software_adapters_are_one_too_many() {
    let infos = [
        info(DeviceType::Cpu, "llvmpipe", ""),
        info(DeviceType::Cpu, "SwiftShader", ""),
    ];
    assert_eq!(choose(&infos, true), [0]);
}
