"""Tiny copies of the mammography sets, in the distributed layouts with their traps."""

import plistlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.data.cbis_ddsm.data import write_dicom

SIZE = (60, 40)


def mammogram(right: bool = False, width: int = 30) -> NDArray[np.uint16]:
    """Return a breast of rows 10 to 49 at its chest wall, with a lesion of rows 20 to 29; in the middle third of its columns."""
    pixels = np.zeros(SIZE, np.uint16)
    pixels[10:50, :width] = 20_000
    pixels[20:30, width // 3 : 2 * width // 3] = 60_000
    return pixels[:, ::-1] if right else pixels


def write_mammogram(path: Path, right: bool = False, photometric: str = "MONOCHROME2") -> None:
    """Write a breast of 30 columns, with a lesion of columns 10 to 19 from the chest wall."""
    pixels = mammogram(right)
    write_dicom(path, 65_535 - pixels if photometric == "MONOCHROME1" else pixels.copy(), photometric)


def write_vindr_mammo(root: Path) -> None:
    """Write two examinations of the test set, and one of the training set."""
    columns = (
        "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,"
        "finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
    )
    rows = [
        "s1,x,a,L,CC,60,40,BI-RADS 5,DENSITY C,\"['Mass', 'Skin Thickening']\",BI-RADS 5,10,20,20,30,test",
        "s1,x,a,L,CC,60,40,BI-RADS 5,DENSITY C,['Suspicious Calcification'],BI-RADS 4,-5,40,5,45,test",
        "s1,x,a,L,CC,60,40,BI-RADS 5,DENSITY C,['Mass'],BI-RADS 3,0,0,5,5,test",
        "s1,x,b,R,MLO,60,40,BI-RADS 2,DENSITY B,['No Finding'],,,,,,test",
        "s2,x,c,R,CC,60,40,BI-RADS 4,DENSITY A,['Asymmetry'],BI-RADS 4,1,1,9,9,test",
        "s3,x,d,L,CC,60,40,BI-RADS 1,DENSITY A,['No Finding'],,,,,,training",
    ]
    root.mkdir(parents=True, exist_ok=True)
    (root / "finding_annotations.csv").write_text("\n".join([columns, *rows]) + "\n")
    write_mammogram(root / "images/s1/a.dicom", photometric="MONOCHROME1")
    write_mammogram(root / "images/s1/b.dicom", right=True)
    write_mammogram(root / "images/s2/c.dicom", right=True)


SQUARE = ["(10.0, 20.0)", "(20.0, 20.0)", "(20.0, 30.0)", "(10.0, 30.0)"]


def write_inbreast(root: Path, copies: tuple[int, int] | None = None) -> None:
    """Write three images: suspicious with contours of many names, probably benign with a mass, and not assessed.

    Args:
        root: Folder of the data set.
        copies: (height, width) of PNG copies that replace the DICOM files.
    """
    rows = [
        "removed;removed;L;CC;201001;111;2;4a;X;;",
        "removed;removed;R;MLO;201001;222;3;3;;;",
        "removed;removed;L;CC;201001;333;3;;;;",
        ";;;;;;;;;;",
    ]
    header = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name ;ACR;Bi-Rads;Mass ;Micros;Distortion"
    root.mkdir(parents=True, exist_ok=True)
    (root / "INbreast.csv").write_text("\n".join([header, *rows]) + "\n")
    for name, right in (
        ("111_aaa_MG_L_CC_ANON", False),
        ("222_bbb_MG_R_ML_ANON", True),
        ("333_bbb_MG_L_CC_ANON", False),
    ):
        if copies is None:
            write_mammogram(root / f"AllDICOMs/{name}.dcm", right=right)
        else:
            (root / "AllPNGs").mkdir(exist_ok=True)
            pixels = Image.fromarray((mammogram(right) // 257).astype(np.uint8))
            pixels.resize(copies[::-1], Image.Resampling.NEAREST).save(root / f"AllPNGs/{name}.png")
    write_contours(
        root / "AllXML/111.xml",
        {
            "Mass": SQUARE,
            "Espiculated Region": SQUARE,
            "Cluster": SQUARE[:1],
            "Assymetry": SQUARE,
            "Calcifications": SQUARE,
            "Unnamed": SQUARE[:1],
            "Point 3": SQUARE[:1],
            "": SQUARE,
        },
    )
    write_contours(root / "AllXML/222.xml", {"Mass": SQUARE})


def write_contours(path: Path, contours: dict[str, list[str]]) -> None:
    """Write a property list as OsiriX does, with one contour a name."""
    rois = [{"Name": name, "Point_px": corners, "NumberOfPoints": len(corners)} for name, corners in contours.items()]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(plistlib.dumps({"Images": [{"ImageIndex": 0, "ROIs": rois}]}))


Release = Literal["open", "dicom", "newer"]
# box of the lesion, (ymin, xmin, ymax, xmax), half-open, of an image with the chest wall on the left
EMBED_BREAST = 18
EMBED_BOX = (20, 6, 30, 12)


def write_embed(
    root: Path,
    num_patients: int = 20,
    release: Release = "open",
    reduced: bool = False,
    oblique: tuple[str, ...] = (),
) -> None:
    """Write an examination a patient, with cancer in the left breast of every fourth, in the right one of every other fourth.

    Each examination has two left images and two right ones, a synthetic one and a magnification. Boxes lie on the CC image of the
    breast with cancer, and, for a patient who was never biopsied, on the left one.

    Args:
        root: Folder of the data set.
        num_patients: How many patients.
        release: What the boxes are: pixels of mirrored PNG files (`open`), of the DICOM files with inclusive bounds (`dicom`), or
            both in columns of their own (`newer`).
        reduced: Write the tables without Rows, Columns and Patient Orientation.
        oblique: Images `<patient><side><view>` that were taken the other way round, as Patient Orientation tells.
    """
    clinical = [
        "empi_anon,acc_anon,side,bside,asses,path_severity,tissueden,massshape,massmargin,massdens,calcfind,calcdistri,numfind"
    ]
    columns = "empi_anon,acc_anon,ImageLateralityFinal,FinalImageType,ViewPosition,spot_mag,anon_dicom_path,num_roi"
    boxes = {"open": "ROI_coords", "dicom": "ROI_coords", "newer": "PNG_ROI_coords,DCM_ROI_coords"}[release]
    metadata = [f"{columns},{boxes}{'' if reduced else ',PatientOrientation,Rows,Columns'}"]
    prefix = {"open": "/mnt/NAS2/mammo/anon_dicom", "dicom": "images", "newer": "/mnt/NAS3/mammo/anon_dicom"}[release]
    for i in range(num_patients):
        patient, exam = f"{1000 + i}", f"{9000 + i}"
        ill = {0: "L", 2: "R"}.get(i % 4)
        if ill is not None:
            # two findings of one breast: a cancer, and one without pathology that was assessed as benign
            clinical += [f'{patient},{exam},{ill},{ill},K,0,3,"I,R",S,+,,,1', f"{patient},{exam},{ill},,B,,3,O,D,,,,2"]
            clinical += [f"{patient},{exam},{'R' if ill == 'L' else 'L'},,N,,3,,,,,,1"]
        else:
            clinical += [f"{patient},{exam},L,,S,,2,O,,,A,G,1"]  # suspicious, and never biopsied
            clinical += [f"{patient},{exam},{'R' if i % 3 else ''},,N,,3,,,,,,2"]
        for side, view in (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")):
            name = f"{patient}{side}{view}"
            # the chest wall is on the right of a right breast, unless it was taken the other way round
            right = (side == "R") != (name in oblique)
            path = f"cohort_{1 + i % 2}/{patient}/{exam}/{name}.dcm"
            orientation = ["P", "R"] if right else ["A", "R"]
            write_dicom(root / "images" / path, mammogram(right, EMBED_BREAST), orientation=orientation)
            boxed = view == "CC" and side == (ill or "L")
            cells = _box_cells(release, right) if boxed else ["[]" if i % 2 else ""] * (1 + (release == "newer"))
            row = [patient, exam, side, "2D", view, "", f"{prefix}/{path}", str(int(boxed)), *cells]
            metadata.append(",".join(row + ([] if reduced else [f"\"['{orientation[0]}', 'R']\"", "60", "40"])))
        for kind, mark in (("cview", ""), ("2D", "1")):
            row = [patient, exam, "L", kind, "CC", mark, f"{prefix}/cohort_1/{patient}/{exam}/none.dcm", "0"]
            metadata.append(",".join(row + [""] * (1 + (release == "newer") + (0 if reduced else 3))))
    (root / "tables").mkdir(parents=True, exist_ok=True)
    suffix = "_reduced" if reduced else ""
    (root / f"tables/EMBED_OpenData_clinical{suffix}.csv").write_text("\n".join(clinical) + "\n")
    (root / f"tables/EMBED_OpenData_metadata{suffix}.csv").write_text("\n".join(metadata) + "\n")


def _box_cells(release: Release, right: bool) -> list[str]:
    """Return the cells of one box, in the frame and the notation of a release."""
    y0, x0, y1, x1 = EMBED_BOX
    dicom = (y0, SIZE[1] - x1, y1, SIZE[1] - x0) if right else EMBED_BOX
    if release == "open":
        return [f'"({EMBED_BOX},)"']
    if release == "dicom":
        return [f'"{[[*dicom[:2], dicom[2] - 1, dicom[3] - 1]]}"']
    return [f'"{[[[*EMBED_BOX]]]}"', f'"{[[[*dicom]]]}"']
