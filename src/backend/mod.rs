//! The kinds of backends that Terraform knows: what each is made of, and what its rendered files say.

pub mod s3;
