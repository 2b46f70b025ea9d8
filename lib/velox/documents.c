/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See documents.h. Keys and spelling (all values are strings, numbers with 17 digits) are those of
 * Velox 2.11; the values describe a simulated Talos. */
#include "velox/documents.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DEGREE 0.017453292519943295

/* Appends formatted text to a buffer that is large enough by far; cut short if it were not. */
struct writer {
    char *text;
    size_t used, capacity;
};

static void __attribute__((format(printf, 2, 3))) put(struct writer *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(w->text + w->used, w->capacity - w->used, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < w->capacity - w->used)
        w->used += (size_t)n;
}

static void put_apertures(struct writer *w)
{
    static const struct {
        const char *name, *type, *diameter, *enabled;
    } apertures[] = {{"C1", "Circular", "0.002", "2"},
                     {"C2", "Circular", "5.0000000000000002e-05", "2"},
                     {"C3", "None", NULL, NULL},
                     {"OBJ", "None", NULL, NULL},
                     {"SA", "Circular", "4.0000000000000003e-05", "2"}};
    put(w, "\"Apertures\":{");
    for (unsigned i = 0; i < sizeof apertures / sizeof apertures[0]; i++) {
        put(w,
            "%s\"Aperture-%u\":{\"Name\":\"%s\",\"Number\":\"%u\",\"MechanismType\":"
            "\"Motorized\",\"Type\":\"%s\"",
            i ? "," : "", i, apertures[i].name, i + 1, apertures[i].type);
        if (apertures[i].diameter)
            put(w, ",\"Diameter\":\"%s\",\"Enabled\":\"%s\"", apertures[i].diameter,
                apertures[i].enabled);
        put(w, ",\"PositionOffset\":{\"x\":\"0\",\"y\":\"0\"}}");
    }
    put(w, "}");
}

static void put_detectors(struct writer *w, const struct emd_movie *m)
{
    static const char *const scanning[] = {"BF", "DF2", "DF4", "HAADF"};
    put(w, "\"Detectors\":{");
    for (unsigned i = 0; i < 4; i++)
        put(w,
            "\"Detector-%u\":{\"DetectorName\":\"%s\",\"DetectorType\":\"ScanningDetector\","
            "\"Inserted\":\"false\",\"Enabled\":\"true\",\"Gain\":\"30\",\"Offset\":\"0\","
            "\"CollectionAngleRange\":{\"begin\":\"0\",\"end\":\"0\"}},",
            i, scanning[i]);
    put(w,
        "\"Detector-4\":{\"DetectorName\":\"%s\",\"DetectorType\":\"ImagingDetector\","
        "\"ExposureMode\":\"\",\"Binning\":{\"width\":\"%.17g\",\"height\":\"%.17g\"},"
        "\"ReadOutArea\":{\"left\":\"0\",\"top\":\"0\",\"right\":\"%zu\",\"bottom\":\"%zu\"},",
        m->camera, m->binning, m->binning, m->width, m->height);
    if (!(m->omit & EMD_OMIT_EXPOSURE))
        put(w, "\"ExposureTime\":\"%.17g\",", m->exposure);
    put(w, "\"Shutters\":{\"Shutter-0\":{\"Position\":\"PreSpecimen\",\"Type\":\"Electrostatic\"}},"
           "\"DarkGainCorrectionType\":\"3\"}},");
}

static const char *encoding(enum emd_pixel_type type)
{
    switch (type) {
    case EMD_PIXEL_I16:
    case EMD_PIXEL_I32:
        return "Signed";
    case EMD_PIXEL_F32:
        return "Float";
    default:
        return "Unsigned";
    }
}

/* A custom property of the detector, and the comma behind it. */
static void __attribute__((format(printf, 5, 6)))
put_property(struct writer *w, const struct emd_movie *m, const char *name, const char *type,
             const char *format, ...)
{
    char value[40];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    put(w, "\"Detectors[%s].%s\":{\"type\":\"%s\",\"value\":\"%s\"},", m->camera, name, type,
        value);
}

void emd_velox_frame_document(const struct emd_movie *m, size_t frame,
                              char column[EMD_VELOX_METADATA_BYTES])
{
    struct writer w = {column, 0, EMD_VELOX_METADATA_BYTES};
    const int64_t step = (int64_t)(m->exposure * 1e6 + 0.5);
    const int64_t started = m->start_time / 1000000;
    /* Reciprocal metres a pixel: pixel / (wavelength x camera length). */
    const double reciprocal =
        m->pixel_size * 1e-3 / (m->wavelength * 1e-10 * m->camera_length * 1e-3);
    memset(column, 0, EMD_VELOX_METADATA_BYTES);
    put(&w,
        "{\"Core\":{\"MetadataDefinitionVersion\":\"7.9\",\"MetadataSchemaVersion\":"
        "\"v1\\/2013\\/07\",\"guid\":\"00000000000000000000000000000000\"},"
        "\"Instrument\":{\"ControlSoftwareVersion\":\"2.9.1\",\"Manufacturer\":\"emdtools\","
        "\"InstrumentId\":\"0\",\"InstrumentClass\":\"Simulator\",\"InstrumentModel\":\"emdsim\","
        "\"ComputerName\":\"EMDSIM\"},"
        "\"Acquisition\":{\"AcquisitionStartDatetime\":{\"DateTime\":\"%" PRId64
        "\"},\"AcquisitionDatetime\":{\"DateTime\":\"%" PRId64
        "\"},\"BeamType\":\"\",\"SourceType\":\"XFEG\"},",
        started, started);
    put(&w, "\"Optics\":{\"GunLensSetting\":\"3\",\"ExtractorVoltage\":\"4050\",");
    if (!(m->omit & EMD_OMIT_VOLTAGE))
        put(&w, "\"AccelerationVoltage\":\"%.17g\",", m->voltage * 1000);
    put(&w,
        "\"SpotIndex\":\"11\",\"C1LensIntensity\":\"0.2\","
        "\"C2LensIntensity\":\"0.34\",\"C3LensIntensity\":\"0\",\"ObjectiveLensIntensity\":"
        "\"0.88\",\"IntermediateLensIntensity\":\"-0.47\",\"DiffractionLensIntensity\":\"0.32\","
        "\"Projector1LensIntensity\":\"-0.46\",\"Projector2LensIntensity\":\"-0.91\","
        "\"LorentzLensIntensity\":\"-0.67\",\"MiniCondenserLensIntensity\":\"0.98\","
        "\"BeamConvergence\":\"0\",\"ScreenCurrent\":\"0\",\"LastMeasuredScreenCurrent\":\"0\","
        "\"Focus\":\"0\",\"StemFocus\":\"0\",\"Defocus\":\"0\",\"HighMagnificationMode\":"
        "\"None\",");
    put_apertures(&w);
    put(&w,
        ",\"OperatingMode\":\"1\",\"TemOperatingSubMode\":\"Diffraction\",\"ProjectorMode\":\"1\","
        "\"EFTEMOn\":\"false\",\"ObjectiveLensMode\":\"HM\",\"IlluminationMode\":\"Parallel\","
        "\"ProbeMode\":\"2\"");
    if (!(m->omit & EMD_OMIT_DISTANCE))
        put(&w, ",\"CameraLength\":\"%.17g\"", m->camera_length / 1000);
    put(&w, "},\"EnergyFilter\":{\"EntranceApertureType\":\"\"},"
            "\"Stage\":{\"Position\":{\"x\":\"1.2e-05\",\"y\":\"-3.4e-05\",\"z\":\"5.6e-06\"},");
    if (!(m->omit & EMD_OMIT_TILT))
        put(&w, "\"AlphaTilt\":\"%.17g\",", m->tilt[frame] * DEGREE);
    put(&w,
        "\"BetaTilt\":\"0\",\"HolderType\":\"Single Tilt\"},"
        "\"Scan\":{\"ScanSize\":{\"width\":\"0\",\"height\":\"0\"},\"MainsLockOn\":\"false\","
        "\"FrameTime\":\"%.17g\"},\"Vacuum\":{\"VacuumMode\":\"Ready\"},",
        m->exposure);
    put_detectors(&w, m);
    put(&w,
        "\"BinaryResult\":{\"AcquisitionUnit\":\"CameraImage\",\"CompositionType\":\"\","
        "\"ImageSize\":{\"width\":\"4096\",\"height\":\"%.0f\"},\"DetectorIndex\":\"4\","
        "\"Detector\":\"%s\",",
        (double)m->height * m->binning, m->camera);
    if (!(m->omit & EMD_OMIT_DISTANCE))
        put(&w,
            "\"PixelSize\":{\"width\":\"%.17g\",\"height\":\"%.17g\"},"
            "\"PixelUnitX\":\"1\\/m\",\"PixelUnitY\":\"1\\/m\",\"Offset\":{\"x\":\"%.17g\","
            "\"y\":\"%.17g\"},",
            reciprocal, reciprocal, -(double)m->width / 2 * reciprocal,
            -(double)m->height / 2 * reciprocal);
    put(&w,
        "\"Encoding\":\"%s\",\"BitsPerPixel\":\"%zu\"},"
        "\"Sample\":\"\",\"GasInjectionSystems\":\"\",",
        encoding(m->type), 8 * emd_pixel_size(m->type));
    put(&w, "\"CustomProperties\":{"
            "\"Aperture[C1].Name\":{\"type\":\"string\",\"value\":\"2000\"},"
            "\"Aperture[C2].Name\":{\"type\":\"string\",\"value\":\"50\"},"
            "\"Aperture[C3].Name\":{\"type\":\"string\",\"value\":\"None\"},"
            "\"Aperture[OBJ].Name\":{\"type\":\"string\",\"value\":\"None\"},"
            "\"Aperture[SA].Name\":{\"type\":\"string\",\"value\":\"40\"},");
    put_property(&w, m, "CombinedSubFrames", "long", "1");
    if (!(m->omit & EMD_OMIT_GAIN)) {
        /* electrons = pixel value x PixelValueToCameraCounts x CountsToElectrons */
        const double counts = m->pixel_to_counts > 0 ? m->pixel_to_counts : 1;
        put_property(&w, m, "CountsToElectrons", "float", "%.9g",
                     1 / (m->counts_per_electron * counts));
        put_property(&w, m, "PixelValueToCameraCounts", "long", "%.0f", counts);
    }
    put_property(&w, m, "FrameID", "long", "%zu", frame);
    if (!(m->omit & EMD_OMIT_SATURATION) && m->saturation > 0) {
        put_property(&w, m, "MaxPossiblePixelValue", "long", "%.0f", m->max_pixel_value);
        put_property(&w, m, "SaturationPoint", "long", "%.0f", m->saturation);
    }
    if (!(m->omit & EMD_OMIT_TIME))
        put_property(&w, m, "TimeStamp", "int64", "%" PRId64,
                     m->start_time + (int64_t)(frame + 1) * step);
    put(&w, "\"StemMagnification\":{\"type\":\"bool\",\"value\":\"0\"}}}\n");
}

void emd_velox_object_name(const struct emd_movie *movie, unsigned number, char name[33])
{
    /* Two rounds of the finaliser of SplitMix64 over the movie's id. */
    for (unsigned half = 0; half < 2; half++) {
        uint64_t x = movie->id + (2 * number + half + 1) * 0x9e3779b97f4a7c15u;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        snprintf(name + half * 16, 17, "%016" PRIx64, x ^ (x >> 31));
    }
}

/* JPEG (ITU-T T.81), annex B markers and annex F entropy coding. The DC code of a category is the
 * category itself in four bits, the only AC symbol (end of block) is a single 0 bit. */
struct bits {
    unsigned char *out;
    size_t used;
    unsigned held;
    uint32_t value;
};

static void put_bits(struct bits *b, uint32_t value, unsigned count)
{
    b->value = b->value << count | value;
    b->held += count;
    while (b->held >= 8) {
        const unsigned char byte = (unsigned char)(b->value >> (b->held - 8));
        b->out[b->used++] = byte;
        if (byte == 0xff) /* stuffed, so that no marker appears */
            b->out[b->used++] = 0;
        b->held -= 8;
    }
}

size_t emd_velox_thumbnail(const unsigned char *grey, unsigned side, unsigned char *jpeg)
{
    static const unsigned char start[] = {
        0xff, 0xd8, /* start of image */
        0xff, 0xe0, 0, 16, 'J', 'F', 'I',  'F',  0, 1,  1, 0,
        0,    1,    0, 1,  0,   0,   0xff, 0xdb, 0, 67, 0}; /* quantisation: 64 x 8 */
    const unsigned char high = (unsigned char)(side * 8 >> 8), low = (unsigned char)(side * 8);
    const unsigned char frame[] = {0xff, 0xc0, 0, 11, 8, high, low, high, low, 1, 1, 0x11, 0};
    static const unsigned char dc_head[] = {0xff, 0xc4, 0, 31, 0x00};
    static const unsigned char dc_table[16 + 12] = {0, 0, 0, 12, [16] = 0, 1, 2,  3,
                                                    4, 5, 6, 7,  8,        9, 10, 11};
    static const unsigned char ac_head[] = {0xff, 0xc4, 0, 20, 0x10};
    static const unsigned char ac_table[16 + 1] = {1};
    static const unsigned char scan[] = {0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0};
    const struct {
        const unsigned char *bytes;
        size_t count;
    } parts[] = {{frame, sizeof frame},       {dc_head, sizeof dc_head},
                 {dc_table, sizeof dc_table}, {ac_head, sizeof ac_head},
                 {ac_table, sizeof ac_table}, {scan, sizeof scan}};
    size_t n = sizeof start;
    memcpy(jpeg, start, sizeof start);
    memset(jpeg + n, 8, 64);
    n += 64;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        memcpy(jpeg + n, parts[i].bytes, parts[i].count);
        n += parts[i].count;
    }
    struct bits b = {jpeg + n, 0, 0, 0};
    int last = 0;
    for (size_t i = 0; i < (size_t)side * side; i++) {
        const int dc = grey[i] - 128; /* 8 x (grey - 128), quantised by 8 */
        const int difference = dc - last;
        unsigned category = 0;
        for (int d = difference < 0 ? -difference : difference; d > 0; d >>= 1)
            category++;
        const int code = difference < 0 ? difference + (1 << category) - 1 : difference;
        put_bits(&b, category, 4);
        put_bits(&b, (uint32_t)code, category);
        put_bits(&b, 0, 1);
        last = dc;
    }
    if (b.held > 0)
        put_bits(&b, (1u << (8 - b.held)) - 1, 8 - b.held);
    n += b.used;
    jpeg[n++] = 0xff;
    jpeg[n++] = 0xd9; /* end of image */
    return n;
}
