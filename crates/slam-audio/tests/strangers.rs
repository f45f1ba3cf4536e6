//! Files as strangers' programs write them: what is sound in them is heard, and what is odd is said.
#![allow(clippy::unwrap_used, missing_docs)]

mod made;

use made::{
    alac, alac_noted, chunk, codec_file, fixture, float_wav, format, id3, ima_adpcm, mp3, ogg_opus,
    packets, riff, surround, wav, xing,
};
use slam_audio::{Audio, AudioError, Warning, WavError, decode_bytes, decode_file, flac};

fn decoded(bytes: &[u8]) -> Audio {
    decode_bytes(bytes).unwrap()
}

/// What was wrong with a file.
fn warnings(audio: &Audio) -> Vec<Warning> {
    audio.warnings.iter().map(|counted| counted.warning.clone()).collect()
}

/// Decodes what should be decoded without a word.
fn clean(bytes: &[u8]) -> Vec<f32> {
    let audio = decoded(bytes);
    assert_eq!(warnings(&audio), Vec::new());
    audio.samples
}

fn ramp(n: i16) -> Vec<i16> {
    (0..n).map(|i| i * 30 - 5000).collect()
}

fn floats(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|&s| f32::from(s) / 32_768.0).collect()
}

/// As far apart as two signals get.
fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_tag_is_skipped_by_its_own_size_in_front_of_every_format() {
    let samples = ramp(700);
    // A picture of 3 MB that looks like sound here and there.
    let mut picture = vec![0x55; 3 << 20];
    picture[5000..5000 + 4 * 417].copy_from_slice(&mp3(9, 4));
    let tag = id3(&picture);
    for file in [
        mp3(9, 10),
        wav(16_000, &samples),
        flac::encode(&samples, 16_000),
        codec_file("mono.opus"),
        codec_file("mono.aac"),
        fixture("mono_aiff16.aiff"),
    ] {
        assert_eq!(clean(&[tag.as_slice(), &file].concat()), clean(&file));
        assert_eq!(clean(&[id3(&[0; 9]), tag.clone(), file.clone()].concat()), clean(&file));
    }
    // A tag that says it is longer than the file hides nothing.
    let mut lying = id3(&[0; 30]);
    lying[6] = 0x7F;
    assert_eq!(clean(&[lying, mp3(9, 10)].concat()).len(), 11_520);
}

#[test]
fn an_estimated_length_never_cuts() {
    let loud_start = [mp3(14, 20), mp3(1, 600)].concat();
    assert_eq!(clean(&loud_start).len(), 620 * 1152);
    // Tags behind the sound are none.
    let tagged = [loud_start, [b"TAG".as_slice(), &[0x20; 125]].concat()].concat();
    assert_eq!(clean(&tagged).len(), 620 * 1152);
}

#[test]
fn a_xing_frame_trims_its_own_stream_and_nothing_else() {
    let one = [xing(10, 576, 1200), mp3(9, 10)].concat();
    let length = 10 * 1152 - 576 - 1200;
    assert_eq!(clean(&one).len(), length);
    // Two in one file, with a tag between them or without, and one without a Xing frame behind.
    assert_eq!(clean(&one.repeat(2)).len(), 2 * length);
    let tagged = [one.as_slice(), b"TAG", &[0; 125], &id3(&[0xFF; 999]), &one];
    assert_eq!(clean(&tagged.concat()).len(), 2 * length);
    let more = decoded(&[one.clone(), mp3(1, 5)].concat());
    assert_eq!(more.samples.len(), length + 5 * 1152);
    assert_eq!(warnings(&more), [Warning::MoreFrames]);
    // In other words than the first: mono after stereo.
    let mut stereo = mp3(9, 5);
    stereo.chunks_mut(417).for_each(|frame| frame[3] = 0);
    assert_eq!(clean(&[stereo, mp3(9, 5)].concat()).len(), 10 * 1152);
    // Whole frames alone are sound, and a frame cut off is said.
    let cut = decoded(&[mp3(9, 5), mp3(9, 1)[..200].to_vec()].concat());
    assert_eq!((cut.samples.len(), warnings(&cut)), (5 * 1152, vec![Warning::CutFrame]));
    let junk = decoded(&[mp3(9, 5), vec![0x11; 999], mp3(9, 5)].concat());
    assert_eq!((junk.samples.len(), warnings(&junk)), (10 * 1152, vec![Warning::Junk]));
}

#[test]
fn a_xing_frame_that_counts_no_frames_cuts_none() {
    let counted = [xing(0, 576, 1200), mp3(9, 10)].concat();
    assert_eq!(clean(&counted).len(), 10 * 1152 - 576 - 529);
    // Fraunhofer's frame counts as it likes, and tells of no padding.
    let mut vbri = mp3(9, 1);
    vbri[36..42].copy_from_slice(b"VBRI\0\x01");
    vbri[53] = 3;
    assert_eq!(clean(&[vbri, mp3(9, 10)].concat()).len(), 10 * 1152);
}

#[test]
fn every_link_of_an_ogg_chain_is_heard() {
    for (first, second) in [
        (codec_file("mono.opus"), codec_file("stereo.opus")),
        (codec_file("silk.opus"), codec_file("silk.opus")),
        (fixture("mono_vorbis.ogg"), fixture("stereo_vorbis.ogg")),
    ] {
        let expected = [clean(&first), clean(&second), clean(&first)].concat();
        assert_eq!(clean(&[first.as_slice(), &second, &first].concat()), expected);
    }
    let rates = decoded(&[fixture("mono_vorbis.ogg"), codec_file("mono.opus")].concat());
    assert_eq!(rates.samples, clean(&fixture("mono_vorbis.ogg")));
    assert_eq!(warnings(&rates), [Warning::RateChanges { rate_hz: 48_000 }]);
}

#[test]
fn opus_headers_give_gain_and_channels() {
    let mono = packets(&codec_file("mono.opus"));
    let plain = clean(&ogg_opus(&mono));
    // Six decibels down: Q7.8, little-endian.
    let mut quiet = mono.clone();
    quiet[0][16..18].copy_from_slice(&(-6i16 * 256).to_le_bytes());
    let quiet = clean(&ogg_opus(&quiet));
    let expected: Vec<f32> = plain.iter().map(|x| x * 10f32.powf(-6.0 / 20.0)).collect();
    assert!(worst(&quiet, &expected) < 1e-6);
    // Six channels in four streams, of which each has the same packets: their mean is what each of them is.
    let mut surround = packets(&surround());
    let mixed = clean(&ogg_opus(&surround));
    assert!(worst(&mixed, &plain) < 1e-4, "{}", worst(&mixed, &plain));
    // A channel that no stream feeds is silent, and one of a stream that there is not is refused.
    surround[0][21..].copy_from_slice(&[0, 255, 255, 255, 255, 255]);
    let sixth: Vec<f32> = plain.iter().map(|x| x / 6.0).collect();
    assert!(worst(&clean(&ogg_opus(&surround)), &sixth) < 1e-4);
    surround[0][21] = 6;
    let refused = decode_bytes(&ogg_opus(&surround)).unwrap_err().to_string();
    assert!(refused.contains("6 channels to 4 streams"), "{refused}");
}

#[test]
fn an_edit_list_drops_what_encoders_put_before_and_behind() {
    let samples = ramp(1000);
    let all = floats(&samples);
    assert_eq!(clean(&alac(&samples, &[])), all, "ALAC itself");
    assert_eq!(clean(&alac(&samples, &[(50, 100)])), all[100..900 + 16]);
    assert_eq!(clean(&alac(&samples, &[(0, 100)])), all[100..]);
    assert_eq!(clean(&alac(&samples, &[(10, -1), (60, 64)])), all[64..]);
    let two = [&all[..16 + 16], &all[500..516 + 16]].concat();
    assert_eq!(clean(&alac(&samples, &[(1, 0), (1, 500)])), two);
    assert_eq!(clean(&alac_noted(&samples, 64, 900)), all[64..964], "as iTunes tells it");
    let back = decoded(&alac(&samples, &[(10, 500), (10, 0)]));
    assert_eq!((warnings(&back), back.samples), (vec![Warning::EditList], all));
}

#[test]
fn an_empty_data_chunk_is_no_text_to_be_heard() {
    let list = chunk("LIST", b"INFOISFT\x0e\0\0\0Lavf58.76.100\0");
    let fmt = format(1, 16_000, 2, 16, &[]);
    for behind in [vec![], vec![list.clone()], vec![list.clone(), chunk("id3 ", &[1; 7])]] {
        let chunks = [vec![fmt.clone(), chunk("data", &[])], behind].concat();
        let result = decode_bytes(&riff(&chunks));
        assert!(matches!(result, Err(AudioError::Empty(None))), "{result:?}");
    }
    // What a program leaves that writes into a pipe: sound up to the end.
    let mut piped = wav(16_000, &ramp(700));
    piped[40..44].fill(0);
    assert_eq!(clean(&piped), floats(&ramp(700)));
}

#[test]
fn several_recordings_in_a_wav_file_are_all_heard_or_named() {
    let (first, second) = (ramp(301), ramp(500));
    let expected = [floats(&first), floats(&second)].concat();
    let both = [wav(16_000, &first), wav(16_000, &second)].concat();
    assert_eq!(clean(&both), expected);
    let data: Vec<u8> = second.iter().flat_map(|s| s.to_le_bytes()).collect();
    let list = chunk("LIST", &[b'x'; 33]);
    let chunks = [wav(16_000, &first), list.clone(), chunk("data", &data), list].concat();
    assert_eq!(clean(&chunks), expected);
    let rates = decoded(&[wav(16_000, &first), wav(8_000, &second)].concat());
    assert_eq!((rates.warnings.total(), rates.samples), (1, floats(&first)));
    let adpcm = decoded(&[wav(16_000, &first), ima_adpcm(&[5])].concat());
    assert_eq!(warnings(&adpcm), [Warning::AnotherRecording]);
    let junk = decoded(&[wav(16_000, &first), vec![1; 5000]].concat());
    assert_eq!((junk.samples.len(), warnings(&junk)), (301, vec![Warning::BytesBehind]));
    assert_eq!(clean(&[wav(16_000, &first), vec![0; 5000]].concat()).len(), 301);
}

#[test]
fn several_recordings_in_a_file_of_another_format_are_all_heard_or_named() {
    let samples = ramp(1000);
    let (flac, alac) = (flac::encode(&samples, 16_000), alac(&samples, &[(50, 100)]));
    for file in [&flac, &alac, &fixture("mono_aiff16.aiff"), &codec_file("mono.m4a")] {
        let one = clean(file);
        assert_eq!(clean(&file.repeat(3)), one.repeat(3));
        // The same from a disk.
        let path = std::env::temp_dir().join(format!("slam-several-{}", std::process::id()));
        std::fs::write(&path, [id3(&[0; 99]), file.repeat(2)].concat()).unwrap();
        assert_eq!(decode_file(&path).unwrap().samples, one.repeat(2));
        std::fs::remove_file(&path).unwrap();
    }
    let mixed = [flac.as_slice(), &flac::encode(&samples, 8_000)].concat();
    assert_eq!(warnings(&decoded(&mixed)), [Warning::RateChanges { rate_hz: 8_000 }]);
    let broken = decoded(&[flac.as_slice(), &flac[..50]].concat());
    assert_eq!((broken.samples.len(), broken.warnings.total()), (1000, 1));
}

#[test]
fn floating_point_samples_in_the_range_of_integers_are_scaled_or_refused() {
    let speech: Vec<f32> = ramp(400).iter().map(|&s| f32::from(s)).collect();
    let scaled = decoded(&float_wav(&speech));
    assert_eq!(scaled.samples, floats(&ramp(400)));
    assert_eq!(warnings(&scaled), [Warning::IntegerRange]);
    // As full as 16 bits can be, with silence around.
    let square: Vec<f32> = (0..900).map(|i| [0.0, -20_000.0, 20_000.0][i / 300]).collect();
    assert!(decoded(&float_wav(&square)).samples.iter().all(|x| x.abs() < 0.62));
    // 24 bits as floats.
    let wide: Vec<f32> = speech.iter().map(|x| x * 256.0).collect();
    let result = decode_bytes(&float_wav(&wide));
    assert!(matches!(result, Err(AudioError::Wav(WavError::Scale { .. }))), "{result:?}");
    // Some broken bytes in samples as they should be, beyond full scale even.
    let mut usual: Vec<f32> = (0..400).map(|i| (i as f32 * 0.1).sin() * 3.0).collect();
    assert_eq!(clean(&float_wav(&usual)), usual);
    usual[7] = 5000.0;
    usual[9] = f32::NAN;
    let broken = decoded(&float_wav(&usual));
    assert_eq!(warnings(&broken), [Warning::FarTooLoud, Warning::NotSound]);
    assert_eq!(broken.samples[10..], usual[10..]);
}

#[test]
fn a_chunk_without_its_pad_byte_hides_nothing() {
    let samples = ramp(100);
    let data: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let fmt = format(1, 16_000, 2, 16, &[]);
    for id in ["LIST", "bext", "zzzz"] {
        let padded = chunk(id, b"odd");
        let bare = padded[..11].to_vec();
        for odd in [padded, bare] {
            let chunks = [odd.clone(), fmt.clone(), odd, chunk("data", &data)];
            assert_eq!(clean(&riff(&chunks)), floats(&samples));
        }
    }
}

#[test]
fn adpcm_in_wav_is_decoded_and_what_is_not_is_named() {
    let levels = [100, -3000, 12_000];
    let expected: Vec<f32> = floats(&levels).into_iter().flat_map(|x| [x; 65]).collect();
    assert_eq!(clean(&ima_adpcm(&levels)), expected);
    // GSM 06.10.
    let gsm = riff(&[format(0x31, 8_000, 65, 0, &[2, 0, 64, 1]), chunk("data", &[0; 650])]);
    let error = decode_bytes(&gsm).unwrap_err();
    assert!(matches!(error, AudioError::Track(_)), "{error:?}");
    assert!(error.to_string().contains("convert"), "{error}");
    let error = decode_bytes(b"<html>404 Not Found</html>").unwrap_err();
    assert!(matches!(error, AudioError::Format(_)), "{error:?}");
}
