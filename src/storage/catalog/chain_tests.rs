//! Tests of the chain's encoding: what is on disk now is what others compute from docs/format.md.

use super::*;
use crate::keys::encoding::from_hex;

fn digest(hex: &str) -> Digest {
    from_hex(hex)
        .expect("hexadecimal")
        .as_slice()
        .try_into()
        .expect("32 bytes")
}

#[test]
fn commitments_and_heads_are_those_that_the_documented_encoding_gives() {
    let tenant: TenantId = "acme".parse().expect("valid");
    let first = Event {
        number: 1,
        at: 1_700_000_000_000_000,
        kind: 1,
        outcome: 1,
        subject: Some("ada"),
        site: Some("gate-1"),
        principal: "scanner-1",
        request: "r-1",
    };
    let second = Event {
        number: 2,
        at: -5,
        kind: 2,
        outcome: 2,
        subject: None,
        site: None,
        principal: "scanner-1",
        request: "r-2",
    };
    let salt = std::array::from_fn(|n| u8::try_from(n).expect("small"));
    let commitments = [
        first.commitment(&tenant, &salt),
        second.commitment(&tenant, &[255; 16]),
    ];
    // Computed by another program from the documented encoding.
    assert_eq!(
        commitments,
        [
            digest("a6f8e5d3d5ea7635fbe76dba1cb7913b08fc55a2644ff7e9b8a8bd36b3de2246"),
            digest("9e638f418e98cded6b6e171d61261531794562e7020e53cb40ca40b1019d1021"),
        ]
    );
    let first = next_head(&[0; 32], 1, &commitments[0]);
    assert_eq!(
        first,
        digest("ac8435d2fe5b08c9d5ec01559bd3f91edd777e3f96f62214586048c6615664f0")
    );
    let second = next_head(&first, 2, &commitments[1]);
    assert_eq!(
        second,
        digest("182b94cb715025d5de80911974a35af2ceda7192df99f123ff18193da004fcd1")
    );
}

#[test]
fn no_two_salts_are_the_same() {
    assert_ne!(salt(), salt());
}
